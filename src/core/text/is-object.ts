/** Whether a value that was parsed is an object with members: JSON calls neither a list nor null one. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
