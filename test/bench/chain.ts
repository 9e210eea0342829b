/**
 * A site's gateway that writes to Kafka, and a central one that reads from it into PostgreSQL: one subject of two processes, whose
 * messages have arrived when they are in the central database. The site's also writes its own local store.
 */
import { join } from "node:path";
import { registrySql } from "../../src/simulator/registration.ts";
import { localTables } from "../fault/tables.ts";
import { sluice } from "../kit/gateway.ts";
import { startKafka } from "../kit/kafka/broker.ts";
import { newTopic } from "../kit/kafka/client.ts";
import { gatewayOf, newDir, registered, runningOf, type Subject } from "./subject.ts";

export function chainSubject(file: string): Subject {
  return {
    name: "sluice",
    file,
    async start({ broker, server, load }) {
      const kafka = await startKafka({ java: ["-Xmx512m"] });
      for (const topic of ["iot_validated_data", "iot_errors"]) await newTopic(kafka.bootstrap, {}, topic);
      const url = await registered({ server, load }, file);
      const KAFKA_BOOTSTRAP_SERVERS = kafka.bootstrap;
      const central = { KAFKA_BOOTSTRAP_SERVERS, KAFKA_VALIDATED_SOURCE: "1", DATABASE_URL: url };
      const site = { KAFKA_BOOTSTRAP_SERVERS, MQTT_URL: `mqtt://127.0.0.1:${broker.port}` };
      const siteDir = newDir();
      await sluice({ DATA_DIR: siteDir }, "migrate");
      await localTables(() => join(siteDir, "local.db")).run(registrySql(load.registry));
      const spawnedMs = Date.now();
      const gateways = await Promise.all([gatewayOf(central, file), gatewayOf(site, file, siteDir)]);
      const running = runningOf(gateways, url, spawnedMs);
      return { ...running, stop: async () => (await running.stop(), kafka.stop()) };
    },
  };
}
