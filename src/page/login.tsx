/** If an answer wants ADMIN_TOKEN: a form for it, which becomes a session; else the error in the gateway's words. */
import { useState } from "hono/jsx/dom";
import { announceSession, loginPath, request, LoginNeeded, wordsOf } from "./api.ts";

export function Trouble({ error }: { error: unknown }) {
  if (error === undefined) return "";
  return error instanceof LoginNeeded ? <Login /> : <p class="bad">{wordsOf(error)}</p>;
}

/** The form goes, and who works by keyboard would begin at the top of the page. */
function focusOn(section: HTMLElement | null): void {
  if (section === null) return;
  section.tabIndex = -1;
  section.focus();
}

function Login() {
  const [said, setSaid] = useState("");
  async function login(event: Event): Promise<void> {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const field = form.elements.namedItem("token") as HTMLInputElement;
    try {
      await request("POST", loginPath, { token: field.value });
      focusOn(form.closest("section"));
      announceSession(true);
    } catch (error) {
      setSaid(wordsOf(error));
    }
    field.value = "";
  }
  return (
    <form class="login" onSubmit={login}>
      <label>
        ADMIN_TOKEN <input name="token" type="password" autocomplete="off" required />
      </label>
      <button type="submit">Log in</button>
      <span role="alert" class="bad">
        {said}
      </span>
    </form>
  );
}
