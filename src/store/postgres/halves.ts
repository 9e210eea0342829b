/** Work on many items at once, of which one may spoil it: a name or a row that a statement cannot take. */
import { serverError, type ServerError } from "./postgres-client.ts";

/**
 * Works on all items. If the server refuses that, and does not refuse the same for no item at all (which would be an outage, in words that
 * are about no item), works on halves until each refused item stands alone. That is tried once more behind what was not refused: what was
 * wrong, such as a right that was taken, may have been over before. @returns the results of the others
 * @throws what `work` throws, unless it is the fault of some of the items
 */
export async function inHalves<Item, Result>(
  items: readonly Item[],
  work: (items: readonly Item[]) => Promise<Result[]>,
  refused: (item: Item, error: unknown) => unknown,
  /** Errors that concern all, whatever the items. */
  isOfAll: (error: ServerError) => boolean = () => false,
): Promise<Result[]> {
  const mayBeOfItems = (error: unknown) => isOfItems(error, isOfAll);
  try {
    return await work(items);
  } catch (error) {
    const [first] = items;
    if (!mayBeOfItems(error) || first === undefined) throw error;
    await work([]);
    if (items.length === 1) return once(first, work, refused, mayBeOfItems);
    const half = items.length >> 1;
    const results = await inHalves(items.slice(0, half), work, refused, isOfAll);
    return [...results, ...(await inHalves(items.slice(half), work, refused, isOfAll))];
  }
}

async function once<Item, Result>(
  item: Item,
  work: (items: readonly Item[]) => Promise<Result[]>,
  refused: (item: Item, error: unknown) => unknown,
  mayBeOfItems: (error: unknown) => boolean,
): Promise<Result[]> {
  try {
    return await work([item]);
  } catch (error) {
    if (!mayBeOfItems(error)) throw error;
    await refused(item, error);
    return [];
  }
}

/** Not so if the server ended the connection or rolled back, was out of something, found a thing locked or was told to cancel. */
function isOfItems(error: unknown, isOfAll: (error: ServerError) => boolean): boolean {
  const server = serverError(error);
  return server?.severity === "ERROR" && !/^(08|40|53|55|57)/.test(server.code) && !isOfAll(server);
}
