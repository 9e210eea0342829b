/** How much memory the process has. The system tells it in a file, for which there may be no descriptor: then it is what it was. */
let last = 0;

export function residentBytes(read: () => number = process.memoryUsage.rss): number {
  try {
    last = read();
  } catch {
    // Another look comes.
  }
  return last;
}
