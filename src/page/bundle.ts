/** Runs as a macro (http/page.ts): has Bun bundle the page, in a process of its own since a macro may not wait for the bundler. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export function bundled(): { html: string; script: string; style: string } {
  const at = (name: string) => join(import.meta.dir, name);
  const words = ["build", at("main.tsx"), "--minify", "--target=browser"];
  const { success, stdout, stderr } = Bun.spawnSync([process.execPath, ...words]);
  if (!success) throw new Error(`the page cannot be bundled: ${stderr.toString()}`);
  return {
    html: readFileSync(at("page.html"), "utf8"),
    script: stdout.toString(),
    style:
      readFileSync(fileURLToPath(import.meta.resolve("uplot/dist/uPlot.min.css")), "utf8") +
      readFileSync(at("page.css"), "utf8"),
  };
}
