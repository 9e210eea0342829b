/** The only reason that belongs to mappings: the topic matches a mapping, and the payload does not fit it. */
import type { Reasons } from "../verdict.ts";

export const mappingReasons = {
  MAPPING_MISFIT: {
    help: "The topic is that of a mapping (MAPPINGS_FILE), but the payload does not fit it; the detail names the mapping and the pointer.",
    remedy:
      "Try it: sluice mappings try --topic T < payload. Fix the file and start anew; what was kept comes back with sluice quarantine replay --reason MAPPING_MISFIT.",
  },
} as const satisfies Reasons;
