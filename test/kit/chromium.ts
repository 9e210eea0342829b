/** Debian's Chromium, driven by playwright-core, on a page of a real gateway. */
import { type Browser, chromium, type Page } from "playwright-core";

const binary = Bun.which("chromium");

/** "" if it is there, else why not. */
export const chromiumAbsent = binary === null ? "chromium is not installed (apt-get install chromium)" : "";

let browser: Promise<Browser> | undefined;

/** A page of its own, without what others left behind; errors of its scripts are kept. */
export async function openPage(
  url: string,
  options: { width?: number; colorScheme?: "dark" | "light" } = {},
): Promise<{ page: Page; errors: string[] }> {
  browser ??= chromium.launch({
    executablePath: binary ?? "",
    // Root has no sandbox for it, and a container little shared memory.
    args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
  });
  const { width = 1200, colorScheme = "light" } = options;
  const context = await (await browser).newContext({ viewport: { width, height: 900 }, colorScheme });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  await page.goto(url);
  return { page, errors };
}

/** For `afterAll`. */
export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
  browser = undefined;
}
