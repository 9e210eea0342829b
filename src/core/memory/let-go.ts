/**
 * Gives the memory of bytes back at once that nobody needs any more. Until they are collected they would be in the way: what one batch and
 * group after another was read into was a tenth of the peak. Of bytes that share their memory nothing is given back.
 */
export function letGo({ buffer, length }: Uint8Array): void {
  if (buffer.byteLength === length) (buffer as ArrayBuffer).transfer(0);
}
