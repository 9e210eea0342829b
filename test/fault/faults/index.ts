/** All faults, in the order of the table. */
import type { Fault } from "../fault.ts";
import { backlogFaults } from "./backlog.ts";
import { brokerFaults } from "./broker.ts";
import { clockFaults } from "./clock.ts";
import { diskFaults } from "./disk.ts";
import { gatewayFaults } from "./gateway.ts";
import { hostFaults } from "./host.ts";
import { influxFaults } from "./influx.ts";
import { kafkaFaults } from "./kafka.ts";
import { kafkaRefusals } from "./kafka-refusals.ts";
import { networkFaults } from "./network.ts";
import { poolerFaults } from "./pooler.ts";
import { postgresFaults } from "./postgres.ts";
import { readOnlyDiskFaults } from "./read-only-disk.ts";
import { redisFaults } from "./redis.ts";

export const faults: readonly Fault[] = [
  ...gatewayFaults,
  ...backlogFaults,
  ...brokerFaults,
  ...postgresFaults,
  ...poolerFaults,
  ...influxFaults,
  ...redisFaults,
  ...kafkaFaults,
  ...kafkaRefusals,
  ...networkFaults,
  ...diskFaults,
  ...readOnlyDiskFaults,
  ...hostFaults,
  ...clockFaults,
];
