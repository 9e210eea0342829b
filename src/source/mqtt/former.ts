/**
 * Takes home what the broker keeps for us under a client id that we had before. After MQTT_CLIENT_ID or GATEWAY_ID was changed that
 * session would go on queueing for nobody, and what it holds from the time in between nobody else has.
 *
 * First it alone is connected, and taken from as if nothing had changed, until it has caught up: the broker's answer to SUBSCRIBE stands
 * behind what it kept (with MQTT 3.1.1 behind its small window only). Then the new session begins, the old one loses its subscriptions,
 * and is ended when nothing more comes. What both were given in between is taken once (twins.ts); whoever ends in that moment may
 * store some of it twice, for either session may have been acknowledged without the other. To tell an operator to do all this by hand was
 * rejected: whoever starts once more with the old id takes by it all that the new session has taken too.
 *
 * Another gateway may have that id by now, as after a copy of DATA_DIR: then the two take it from each other, and we give way.
 */
import type { IClientOptions } from "mqtt";
import { backoffMs, type Clock, type Timer } from "../../core/clock.ts";
import { explain, type Log } from "../../core/log/log.ts";
import type { Intake } from "../../core/message.ts";
import { createConnectChoice } from "./connect-choice.ts";
import { type Connection, NoSession, openConnection } from "./connection.ts";
import type { MqttVersion } from "./options.ts";
import { describeFailure, isRefusal } from "./words.ts";
import { endSession } from "./end-session.ts";
import type { MqttMessage } from "./outstanding.ts";
import type { SessionMemory } from "./session-memory.ts";
import { createTwins } from "./twins.ts";

export interface FormerSpec {
  readonly clientIds: readonly string[];
  readonly place: string;
  readonly versions: readonly MqttVersion[];
  readonly memory: SessionMemory;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  payloadBytesMax(): number;
  /** On the new session's connection: what the broker had given by it before has come. */
  roundTrip(done: () => void): void;
  optionsFor(clientId: string, version: MqttVersion, clean: boolean): IClientOptions;
}

export interface Former {
  /**
   * Connects to the sessions.
   * @param flows called when the first message comes
   * @param goOn called once, when each has caught up or is not to be had now: the new session may begin
   */
  begin(intake: Intake, flows: () => void, goOn: () => void): void;
  /** Messages come by one of them, and the new session has not begun. */
  isTaking(): boolean;
  /** The new session has its subscriptions. */
  replaced(): void;
  /** The message of an old session that this one of the new is a copy of. */
  originalOf(message: MqttMessage): MqttMessage | undefined;
  acknowledge(): void;
  stopIntake(): void;
  close(): Promise<void>;
  unacknowledged(): number;
  /** What is still to be taken, for people; undefined: nothing. */
  detail(): string | undefined;
}

/** Nothing came for so long, and all is acknowledged: the session is empty. */
const quietMs = 10_000;
/** A copy may come a little after the answer to UNSUBSCRIBE, by another socket. */
const partingMs = 200;
/** So often the broker may refuse it, or give it to another, before we give way. */
const refusalsMax = 3;
const retryBaseMs = 1000;
const retryMaxMs = 10_000;
const goodConnectionMs = 10_000;

export function createFormerSessions(spec: FormerSpec): Former {
  const { clock } = spec;
  const pairs = createTwins();
  let [isReplaced, isParting, isParted] = [false, false, false];
  let sessions: Session[] = [];
  let parting: Timer | undefined;

  const part = () => {
    isParted = true;
    pairs.parted();
  };
  const partedAll = () => {
    // Without an old session there is nothing to part from, and with MQTT 3.1.1 to subscribe again brings all retained messages again.
    if (sessions.length === 0) return;
    if (isParting || !isReplaced || !sessions.every((session) => session.isParted())) return;
    isParting = true;
    spec.roundTrip(() => {
      parting = clock.after(partingMs, part);
    });
  };
  return {
    begin(intake, flows, goOn) {
      let waiting = spec.clientIds.length;
      if (waiting === 0) return goOn();
      const tried = () => {
        waiting -= 1;
        if (waiting === 0) goOn();
      };
      const hooks = { intake, flows, tried, parted: partedAll, originalOf: pairs.originalOf };
      sessions = spec.clientIds.map((clientId) => openSession(spec, clientId, hooks));
    },
    isTaking: () => !isReplaced && sessions.some((session) => session.isConnected()),
    replaced() {
      isReplaced = true;
      for (const session of sessions) session.replaced();
      partedAll();
    },
    originalOf: (message) => (sessions.length === 0 || isParted ? undefined : pairs.originalOf("", message)),
    acknowledge() {
      for (const session of sessions) session.acknowledge();
    },
    stopIntake() {
      parting?.cancel();
      for (const session of sessions) session.stopIntake();
    },
    async close() {
      await Promise.all(sessions.map((session) => session.close()));
    },
    unacknowledged: () => sessions.reduce((sum, session) => sum + session.unacknowledged(), 0),
    detail() {
      const open = sessions.filter((session) => session.isOpen()).map(({ clientId }) => clientId);
      if (open.length === 0) return undefined;
      return `${isParted ? "takes what was kept under" : "is changing over from"} our former client id ${open.join(", ")}`;
    },
  };
}

type Session = ReturnType<typeof openSession>;

interface Hooks {
  readonly intake: Intake;
  flows(): void;
  /** Called once: it has caught up, or is not to be had for now. */
  tried(): void;
  /** It has lost its subscriptions, or is given up. */
  parted(): void;
  originalOf(session: string, message: MqttMessage): MqttMessage | undefined;
}

function openSession(spec: FormerSpec, clientId: string, hooks: Hooks) {
  const { clock, log, memory, place } = spec;
  const { intake } = hooks;
  let connection: Connection | undefined;
  let timer: Timer | undefined;
  const choice = createConnectChoice(spec.versions, false);
  let [isReady, isReplaced, isParted, isOpen, stopped, wasTried] = [false, false, false, true, false, false];
  let [attempt, refusals, dialledMs, taken, takenBefore] = [0, 0, 0, 0, 0];
  const counting: Intake = {
    receive(message) {
      taken += 1;
      return intake.receive(message);
    },
    isFull: () => intake.isFull(),
    get held() {
      return intake.held;
    },
    whenRoom: (resume) => intake.whenRoom(resume),
    putsOff: (goOn) => intake.putsOff(goOn),
    collects: (lastCall) => intake.collects(lastCall),
  };

  function answer(): void {
    if (!wasTried) hooks.tried();
    wasTried = true;
  }

  function part(): void {
    isParted = true;
    hooks.parted();
  }

  function dial(): void {
    dialledMs = clock.monoMs();
    try {
      connection = openConnection({
        options: spec.optionsFor(clientId, choice.asked.version, false),
        payloadBytesMax: () => spec.payloadBytesMax(),
        filters: memory.filtersOf(clientId),
        obsolete: [],
        mayExist: true,
        mustExist: true,
        originalOf: (message) => hooks.originalOf(clientId, message),
        note() {},
        clock,
        intake: counting,
        flows: hooks.flows,
        takenOnce() {},
        ready() {
          if (!choice.answered()) return connection?.abandon("asking for all once more");
          isReady = true;
          answer();
          unsubscribe();
        },
        over,
      });
    } catch (error) {
      over(error);
    }
  }

  function unsubscribe(): void {
    if (!isReady || !isReplaced) return;
    connection?.unsubscribe(() => {
      // If we end before it is empty, the next start must not subscribe it again.
      noted(() => {
        memory.forget(clientId);
        memory.note(clientId, place, []);
      });
      part();
      timer = clock.every(quietMs, () => void endIfQuiet());
    });
  }

  function over(cause: unknown): void {
    connection = undefined;
    isReady = false;
    timer?.cancel();
    if (cause instanceof NoSession) return void end();
    if (choice.ended(cause)) return stopped ? undefined : dial();
    if (clock.monoMs() - dialledMs >= goodConnectionMs) [attempt, refusals] = [0, 0];
    attempt += 1;
    if (isRefusal(cause)) refusals += 1;
    answer();
    if (stopped) return;
    if (refusals < refusalsMax)
      timer = clock.after(backoffMs(attempt, retryBaseMs, retryMaxMs, spec.random), dial);
    else giveUp(cause);
  }

  /** A disk that cannot be written must not end the process: the next start asks the broker for the session once more. */
  function noted(write: () => void): void {
    try {
      write();
    } catch (error) {
      log.warn({ client_id: clientId, error: explain(error) }, notNotedWords);
    }
  }

  function giveUp(cause: unknown): void {
    isOpen = false;
    part();
    log.warn({ broker: place, client_id: clientId }, `${describeFailure(cause, place)}: ${notTakenWords}`);
  }

  async function endIfQuiet(): Promise<void> {
    const isQuiet = taken === takenBefore && connection?.unacknowledged() === 0 && !intake.isFull();
    takenBefore = taken;
    if (!isQuiet || stopped) return;
    timer?.cancel();
    await connection?.close();
    connection = undefined;
    await end();
  }

  async function end(): Promise<void> {
    // It may also have begun with our own CONNECT.
    await endSession(spec.optionsFor(clientId, choice.asked.version, true), clock);
    noted(() => memory.forget(clientId));
    isOpen = false;
    answer();
    part();
    if (taken > 0) log.info({ broker: place, client_id: clientId, messages: taken }, takenWords);
  }

  dial();
  return {
    clientId,
    isOpen: () => isOpen,
    isParted: () => isParted,
    isConnected: () => connection !== undefined && taken > 0,
    replaced() {
      if (isReplaced) return;
      isReplaced = true;
      unsubscribe();
    },
    acknowledge: () => connection?.acknowledge(),
    stopIntake() {
      stopped = true;
      timer?.cancel();
      connection?.stopIntake();
    },
    async close() {
      stopped = true;
      timer?.cancel();
      connection?.acknowledge();
      await connection?.close();
    },
    unacknowledged: () => connection?.unacknowledged() ?? 0,
  };
}

const takenWords =
  "what the broker kept for us under our former client id is taken, and that session is ended";
const notNotedWords =
  "how far we are with our former client id cannot be noted in mqtt-session.json in DATA_DIR; the next start looks at the broker";
const notTakenWords =
  "what it may keep for us under our former client id is not taken; the next start tries again. If another gateway has that id now, remove it from mqtt-session.json in DATA_DIR";
