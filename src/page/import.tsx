/** Devices from a file, with how much of it was sent, and what became of its lines. */
import { useState } from "hono/jsx/dom";
import type { ImportResult } from "../admin/bulk/import.ts";
import { fromHere, loginNeeded, noAnswer } from "./api.ts";
import { number } from "./words.ts";

export function Import({ act }: { act: (work: () => Promise<string>) => Promise<boolean> }) {
  const [share, setShare] = useState<number | undefined>(undefined);
  const send = (event: Event) =>
    act(async () => {
      const input = event.target as HTMLInputElement;
      const [file] = input.files ?? [];
      if (file === undefined) return "";
      try {
        return importedText(await upload(file, setShare));
      } finally {
        setShare(undefined);
        input.value = "";
      }
    });
  return (
    <details>
      <summary>Import devices</summary>
      <label>
        A CSV or NDJSON file, as <code>sluice devices export</code> writes it{" "}
        <input type="file" accept=".csv,.ndjson" onChange={send} />
      </label>
      {share === undefined ? "" : <progress max={1} value={share} aria-label="Sent" />}
    </details>
  );
}

function importedText({ added, without_token: without, existing, wrong, remarks }: ImportResult): string {
  const tokens = without === 0 ? "" : ` (${number(without)} of them without a token)`;
  const [first] = remarks;
  const why = first === undefined ? "" : ` Line ${number(first.line)}: ${first.why}.`;
  return `Added: ${number(added)}${tokens}; already registered: ${number(existing)}; wrong lines: ${number(wrong)}.${why}`;
}

/** XMLHttpRequest, for fetch does not say how much was sent. */
function upload(file: File, progress: (share: number) => void): Promise<ImportResult> {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", fromHere("/admin/devices/import"));
    call.setRequestHeader("content-type", /\.csv$/i.test(file.name) ? "text/csv" : "application/x-ndjson");
    call.upload.addEventListener("progress", ({ loaded, total }) =>
      progress(total === 0 ? 1 : loaded / total),
    );
    call.addEventListener("error", () => reject(noAnswer(true)));
    call.addEventListener("load", () => {
      const answer = read(call.responseText);
      if (call.status < 300 && answer?.added !== undefined) resolve(answer);
      else if (call.status === 401) reject(loginNeeded("POST"));
      else reject(whyNot(answer) ?? noAnswer(true, call.status < 300 ? undefined : call.status));
    });
    call.send(file);
  });
}

/** Of an import that ended halfway, what was done by then. */
function whyNot(answer: ReturnType<typeof read>): Error | undefined {
  const { detail, added } = answer ?? {};
  if (detail === undefined) return undefined;
  return new Error(added === undefined ? detail : `${detail} Added before: ${number(added)}.`);
}

/** undefined: what came is not the gateway's, but of something before it. */
function read(text: string): (ImportResult & { readonly detail?: string }) | undefined {
  try {
    return JSON.parse(text) as ImportResult;
  } catch {
    return undefined;
  }
}
