/** The fake of InfluxDB 3 Core where compose.yml expects the real one: test/image/run.sh puts it in the image of that name. */
import { startInflux3 } from "../kit/influx3.ts";

const fake = await startInflux3();
Bun.serve({
  hostname: "0.0.0.0",
  port: 8181,
  fetch(request) {
    const { pathname, search } = new URL(request.url);
    return fetch(new URL(pathname + search, fake.url), request);
  },
});
