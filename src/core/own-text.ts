/** A string of its own, that keeps neither the pieces it was joined from nor the text it was cut from: for what is kept. */
export const ownText = (text: string): string => Buffer.from(text).toString();
