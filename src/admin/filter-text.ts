/** Text by which a list is filtered, of devices as of what is to be reviewed. */
import { z } from "zod";
import { storablePattern } from "../core/topic-level.ts";

/** PostgreSQL knows no U+0000, not even in a question. */
export const filterText = z.string().regex(storablePattern, "must be without control characters");
