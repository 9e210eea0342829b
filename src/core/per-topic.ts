/**
 * What is worked out of a topic is kept, for a device says the same one for years.
 *
 * Topics that came first stay: to begin anew when full would keep nothing of a few more devices that speak in turn, and to find the one
 * to drop costs what is saved.
 */

/** Topics of which a result is kept. */
export const topicsMax = 8_192;
/** Of longer ones nothing is kept: a topic may have 65,535 bytes, and a stranger may send any. */
export const topicCharsMax = 256;

/** @param keeps whether what was made of a topic may be kept */
export function perTopic<T>(make: (topic: string) => T, keeps: (made: T) => boolean = () => true) {
  const kept = new Map<string, T>();
  return (topic: string): T => {
    const known = kept.get(topic);
    if (known !== undefined) return known;
    const made = make(topic);
    if (kept.size < topicsMax && topic.length <= topicCharsMax && keeps(made)) kept.set(topic, made);
    return made;
  };
}
