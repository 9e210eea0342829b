/** What may be changed while the gateway runs, the cache, and where to read on. */
import type { CacheStats } from "../admin/cache-stats.ts";
import type { SettingRow } from "../admin/setting-store.ts";
import { certificateDaysMin } from "../core/limits.ts";
import { useActs } from "./acts.ts";
import { announceSession, request, useFreshAnswer } from "./api.ts";
import { Trouble } from "./login.tsx";
import type { Stats } from "./types.ts";
import { duration, number } from "./words.ts";

type CacheAnswer = CacheStats & { readonly bands: Readonly<Record<string, string | null>> };

export function Settings({ stats }: { stats: Stats }) {
  const { said, count, act } = useActs();
  const { answer, error } = useFreshAnswer<{ settings: readonly SettingRow[] }>("/admin/settings", count);
  const { answer: cache } = useFreshAnswer<CacheAnswer>("/admin/cache/stats", count);
  const { answer: session } = useFreshAnswer<{ logged_in: boolean }>("/login", 0);
  const save = (key: string) => (event: Event) => {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const field = form.elements.namedItem("value") as HTMLInputElement;
    void act(async () => {
      const value = field.value === "" ? null : field.value;
      field.value = (await request<SettingRow>("PUT", `/admin/settings/${key}`, { value })).value;
      return `${key} is changed.`;
    });
  };
  const clear = () =>
    act(async () => {
      await request("POST", "/admin/cache/clear");
      return "The cache is empty.";
    });
  const bandOf = (name: string) => (typeof cache?.bands[name] === "string" ? ` (${cache.bands[name]})` : "");
  const logout = () =>
    act(async () => {
      await request("POST", "/logout");
      announceSession();
      return "";
    });
  return (
    <section id="settings">
      <h2>Settings</h2>
      <Trouble error={error} />
      <p role="status">{said}</p>
      <table tabIndex={0}>
        <tbody>
          {(answer?.settings ?? []).map(({ key, value, source, unit, help, mistake }) => (
            <tr key={key}>
              <th scope="row">{key}</th>
              <td>
                <form onSubmit={save(key)}>
                  <input name="value" value={value} aria-label={`${key}, ${unit}`} />
                  <button type="submit" aria-label={`Save ${key}`}>
                    Save
                  </button>
                </form>
              </td>
              <td>
                {help} <small>({source})</small>
                {mistake === null ? "" : <strong class="bad"> {mistake}</strong>}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {cache === undefined ? "" : <h2>Auth cache</h2>}
      {cache === undefined ? (
        ""
      ) : (
        <p>
          {number(cache.size)} of {number(cache.max_size)} devices{bandOf("size")}; answered from memory:{" "}
          {cache.hit_rate === null ? "none yet" : `${(cache.hit_rate * 100).toFixed(1)} %`}
          {bandOf("hit_rate")}; look-ups without an answer: {number(cache.errors)}
          {bandOf("errors")}{" "}
          <button type="button" onClick={clear}>
            Clear
          </button>
        </p>
      )}
      <h2>This gateway</h2>
      <p>
        Sluice {stats.version}, up {duration(stats.uptime_seconds)}. <a href="docs">API</a>{" "}
        <a href="metrics">Metrics</a> <a href="stats?pretty">All numbers</a>{" "}
        {session?.logged_in === true ? (
          <button type="button" onClick={logout}>
            Log out
          </button>
        ) : (
          ""
        )}
      </p>
      {stats.certificates.map(({ setting, ends_at: ends }) => {
        const days = (Date.parse(ends) - Date.now()) / 86_400_000;
        return (
          <p key={setting} class={days < certificateDaysMin ? "bad" : ""}>
            The certificate of {setting} ends on {ends.slice(0, 10)}.
          </p>
        );
      })}
    </section>
  );
}
