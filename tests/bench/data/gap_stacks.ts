/** What V8's sampling profiler saw within a time. */

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}

/** As the DevTools protocol's Profiler.Profile: times in microseconds. */
export interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: CallFrame;
    readonly children?: readonly number[];
  }[];
  readonly startTime: number;
  /** The node of each sample. */
  readonly samples: readonly number[];
  /** Before each sample, from the one before it. */
  readonly timeDeltas: readonly number[];
}

const FRAMES = 5;
const STACKS = 3;
const IDLE = ["(idle)", "(program)", "(root)"];

/** The most frequent stacks, with how many samples each has, innermost function first; those of an idle thread are left out. */
export function stacksWithin(profile: Profile, fromUs: number, toUs: number): string[] {
  const counts = new Map<string, number>();
  const stacks = stacksOf(profile);
  let at = profile.startTime;
  for (const [index, node] of profile.samples.entries()) {
    at += profile.timeDeltas[index]!;
    if (at < fromUs) continue;
    if (at > toUs) break;
    const stack = stacks.get(node)!;
    if (stack !== "") counts.set(stack, (counts.get(stack) ?? 0) + 1);
  }
  return [...counts].toSorted(([, a], [, b]) => b - a).slice(0, STACKS).map(([stack, count]) =>
    `${count} x ${stack}`
  );
}

/** By node; "" for one in which nothing runs. */
function stacksOf({ nodes }: Profile): Map<number, string> {
  const parents = new Map<number, number>();
  for (const { id, children = [] } of nodes) for (const child of children) parents.set(child, id);
  const byId = new Map(nodes.map((node) => [node.id, node]));
  return new Map(nodes.map(({ id, callFrame }) => {
    if (IDLE.includes(callFrame.functionName)) return [id, ""];
    const frames: string[] = [];
    for (let at: number | undefined = id; at !== undefined && frames.length < FRAMES; at = parents.get(at)) {
      const frame = byId.get(at)!.callFrame;
      if (frame.functionName !== "(root)") frames.push(nameOf(frame));
    }
    return [id, frames.join(" < ")];
  }));
}

function nameOf({ functionName, url, lineNumber }: CallFrame): string {
  const name = functionName === "" ? "anonymous" : functionName;
  const file = url.split("/").at(-1)!;
  return file === "" ? name : `${name} ${file}:${lineNumber + 1}`;
}
