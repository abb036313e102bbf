/** The coordinators of a chaos run, one after the other on one data folder, and the faults that hit the leader. */
import { systemClock } from "../../shared/clock.ts";
import { type CoordinatorChild, startCoordinatorChild, until } from "../integration/coordinator_child.ts";

/** Delay after which a supervisor restarts a dead coordinator. */
const RESTART_MS = 300;

export class Leaders implements AsyncDisposable {
  current: CoordinatorChild;
  readonly #dataFolder: string;
  readonly #args: string[];
  readonly #all: CoordinatorChild[] = [];

  constructor(dataFolder: string, args: string[]) {
    this.#dataFolder = dataFolder;
    this.#args = args;
    this.current = this.#start();
  }

  /** Returns the moment of the leader's death; its successor runs or is starting by then. */
  async kill(standsBy: boolean): Promise<number> {
    const dying = this.current;
    if (standsBy) {
      const standby = this.current = this.#start();
      await until("the standby", () => standby.stderr().includes("standing by"), standby.stderr);
    }
    dying.kill("SIGKILL");
    const killedAt = systemClock.now();
    if (!standsBy) {
      await systemClock.sleep(RESTART_MS);
      this.current = this.#start();
    }
    return killedAt;
  }

  stopFor(milliseconds: number): void {
    const stopped = this.current;
    stopped.kill("SIGSTOP");
    setTimeout(() => stopped.kill("SIGCONT"), milliseconds);
  }

  /** Of all of them, in order. */
  stderr(): string[] {
    return this.#all.map((coordinator, index) => `coordinator ${index + 1}:\n${coordinator.stderr()}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The newest first: the broker is its child.
    for (const coordinator of this.#all.toReversed()) await coordinator[Symbol.asyncDispose]();
  }

  #start(): CoordinatorChild {
    const child = startCoordinatorChild(this.#dataFolder, this.#args);
    this.#all.push(child);
    return child;
  }
}
