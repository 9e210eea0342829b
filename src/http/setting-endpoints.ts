/** /admin/settings: the table app_settings over HTTP, with the values that each row may have. */
import { z } from "zod";
import { endpoint, type Endpoint } from "./endpoint.ts";
import { problem } from "./problem.ts";
import { SettingRefused, settingSchema, type SettingStore } from "../admin/setting-store.ts";

const wanted = z.strictObject({
  value: z
    .union(
      [
        z.string().max(256),
        z.number().transform(String),
        z.boolean().transform((is) => (is ? "1" : "0")),
        z.null(),
      ],
      "must be a text, a number, true, false or null",
    )
    .describe("null: use the environment's value again, else the default."),
});

export function settingEndpoints(settings: SettingStore): readonly Endpoint[] {
  return [
    endpoint({
      method: "GET",
      path: "/admin/settings",
      id: "settings.list",
      summary: "The settings that may be changed while gateways run, and what is in force",
      answer: { help: "All of them.", schema: z.object({ settings: z.array(settingSchema).readonly() }) },
      problems: [503],
      handle: async () => ({ settings: await settings.list() }),
    }),
    endpoint({
      method: "PUT",
      path: "/admin/settings/{key}",
      id: "settings.set",
      summary: "Change a setting on every gateway that shares this registry; on this one at once",
      body: wanted,
      answer: { help: "The setting as it is now.", schema: settingSchema },
      problems: [404, 503],
      async handle({ params: { key = "" }, body: { value }, note }) {
        note({ value });
        try {
          return (
            (await settings.set(key, value)) ??
            problem(404, "There is no such setting; see GET /admin/settings.")
          );
        } catch (error) {
          if (error instanceof SettingRefused) return problem(422, error.message);
          throw error;
        }
      },
    }),
  ];
}
