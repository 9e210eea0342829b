/** A table of the page: the names of its columns, and its rows. It takes the focus, so that a keyboard can scroll it. */
import type { Child } from "hono/jsx";

export function Table({ columns, children }: { columns: readonly Child[]; children?: Child }) {
  return (
    <table tabIndex={0}>
      <thead>
        <tr>
          {columns.map((column) => (
            <th scope="col">{column}</th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}
