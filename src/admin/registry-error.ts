/** What administration over HTTP says if the registry does not do what it was asked. */

const words = {
  refused: "The registry refuses this; the log says why.",
  answered: "The registry answered with an error, and what it was asked was not done; the log says why.",
  unread: "The registry does not answer. Try again when it is back.",
  busy: "Others have lists of all devices made, and each takes its time. Try again in a while.",
  full: "The disk of the local store is full, so nothing was changed. Make room, and try again.",
  unsure: "The registry does not answer; whether a change was made is unknown. Try again when it is back.",
};

/** The registry did not do what it was asked; its own words are the cause, for the log. */
export class RegistryError extends Error {
  /** Status over HTTP. 422: it answered and will never take this. 503: it did not do this now; the words say what is known of a change. */
  readonly status: 422 | 503;
  /** A change that it was asked for may yet be done. */
  readonly isUnsure: boolean;

  constructor(what: keyof typeof words, cause: unknown) {
    super(words[what], { cause });
    this.status = what === "refused" ? 422 : 503;
    this.isUnsure = what === "unsure";
  }
}
