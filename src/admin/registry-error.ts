/** What administration over HTTP says if the registry does not do what it was asked. */

const words = {
  refused: "The registry refuses this; the log says why.",
  answered: "The registry answered with an error, and what it was asked was not done; the log says why.",
  unread: "The registry does not answer. Try again when it is back.",
  busy: "Others have lists of all devices made, or the registry is slow. Try again in a while.",
  full: "The disk of the local store is full, so nothing was changed. Make room, and try again.",
  unsure: "The registry does not answer; whether a change was made is unknown. Try again when it is back.",
};

/** The registry did not do what it was asked; its own words are the cause, for the log. */
export class RegistryError extends Error {
  /** Status over HTTP. 422: it answered and will never take this. 503: it did not do this now; the words say what is known of a change. */
  readonly status: 422 | 503;
  /** The change that it was asked for is not done, and will not be. false: it may be, or it was asked for none. */
  readonly isUndone: boolean;

  constructor(what: keyof typeof words, cause: unknown, isOfChange = false) {
    super(words[what], { cause });
    this.status = what === "refused" ? 422 : 503;
    this.isUndone = isOfChange && what !== "unsure";
  }
}
