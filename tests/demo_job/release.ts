/** A revision of this repository as a folder, and its programs as processes. */
import { join } from "@std/path";
import { TextLineStream } from "@std/streams";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { lastReleased, readReleases } from "../documents/releases.ts";
import { repositoryRoot } from "../../deploy/machine/fleet.ts";

export interface Release {
  /** For messages: "the present one", or a commit's short id. */
  readonly name: string;
  readonly root: string;
  /** The versions of the protocol that its coordinator serves; the newest one is its workers'. */
  readonly protocol: { readonly oldest: number; readonly newest: number };
}

export interface Program {
  readonly pid: number;
  /** The first match in a line of its output. Throws `aborted` if it ends without one. */
  match(pattern: RegExp): Promise<string>;
  /** Its exit code and its last line, once it has ended by itself. */
  readonly ended: Promise<{ readonly code: number; readonly last: string }>;
  /** SIGTERM, then its exit code. */
  leave(): Promise<number>;
  /** Its end at once, if it runs. */
  kill(): Promise<void>;
}

/**
 * Writes the files of a revision below `folder`.
 * @param revision null: the last release of docs/releases.md, by its tag or, where tags are lost, by its commit
 * Throws `usage` for what git does not know.
 */
export async function checkOut(revision: string | null, folder: string): Promise<Release> {
  const { commit, name, protocol } = revision === null ? await lastRelease() : await revisionOf(revision);
  const archive = await git("archive", "--format=tar", commit);
  if (archive === null) throw new LoraFleetError("storage", `git cannot archive ${commit}`);
  const root = join(folder, "release");
  await Deno.mkdir(root);
  const tar = new Deno.Command("tar", { args: ["-x", "-C", root], stdin: "piped" }).spawn();
  const writer = tar.stdin.getWriter();
  await writer.write(archive);
  await writer.close();
  if (!(await tar.status).success) {
    throw new LoraFleetError("storage", `tar cannot unpack ${commit} in ${root}`);
  }
  const release = await releaseAt(root, name);
  if (protocol === undefined || protocol === release.protocol.newest) return release;
  const message = `docs/releases.md gives ${name} protocol ${protocol}, and its commit ${commit} speaks ` +
    `${release.protocol.newest}: the table is wrong`;
  throw new LoraFleetError("usage", message);
}

interface Revision {
  readonly commit: string;
  readonly name: string;
  /** As the table has it; left out: it is in no table. */
  readonly protocol?: number;
}

async function revisionOf(revision: string): Promise<Revision> {
  const commit = await commitOf(revision);
  if (commit !== null) return { commit, name: commit.slice(0, 8) };
  const message = `--from is ${quote(revision)}, which is no revision of the repository ` +
    `${quote(repositoryRoot)}: a tag, a branch or a commit is needed (git log --oneline)`;
  throw new LoraFleetError("usage", message, { param: "from" });
}

async function lastRelease(): Promise<Revision> {
  const { version, commit, protocol } = lastReleased(await readReleases());
  const tagged = await commitOf(`v${version}`);
  if (tagged !== null && tagged !== commit) {
    const message =
      `the tag v${version} is ${tagged}, and docs/releases.md says ${commit}: one of them is wrong`;
    throw new LoraFleetError("usage", message);
  }
  if (await commitOf(commit) !== null) return { commit, name: version, protocol };
  const message =
    `the commit ${commit} of release ${version} is not in the repository ${quote(repositoryRoot)}` +
    `: git fetch --unshallow, or git fetch origin ${commit}`;
  throw new LoraFleetError("usage", message, { param: "from" });
}

/** Null for what git does not know. */
async function commitOf(revision: string): Promise<string | null> {
  const found = await git("rev-parse", "--verify", "--quiet", `${revision}^{commit}`);
  return found === null ? null : new TextDecoder().decode(found).trim();
}

export async function releaseAt(root: string, name: string): Promise<Release> {
  const source = await Deno.readTextFile(join(root, "shared/protocol/messages_worker.ts"));
  const version = (constant: string) =>
    Number(new RegExp(`\\b${constant} = (\\d+);`).exec(source)?.[1] ?? NaN);
  const newest = version("PROTOCOL_VERSION");
  const oldest = version("OLDEST_PROTOCOL_VERSION");
  if (Number.isNaN(newest)) {
    throw new LoraFleetError("usage", `${name} does not say which protocol it speaks`);
  }
  // Releases before there was a range served one version.
  return { name, root, protocol: { oldest: Number.isNaN(oldest) ? newest : oldest, newest } };
}

/** Starts a program as its release's `deno task` does. Its output goes to the file `logPath`. */
export function startProgram(
  { root }: Release,
  program: "coordinator" | "worker",
  args: readonly string[],
  { env, logPath }: { readonly env: Readonly<Record<string, string>>; readonly logPath: string },
): Program {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "-q", "--no-prompt", "--config", join(root, "deno.json"), `-P=${program}`],
      ...[join(root, `${program}/main.ts`), ...args],
    ],
    ...{ env: { ...env }, clearEnv: true, cwd: root, stdin: "null", stdout: "piped", stderr: "piped" },
  }).spawn();
  const lines: string[] = [];
  let wake = Promise.withResolvers<void>();
  let isOver = false;
  const read = async (stream: ReadableStream<Uint8Array>) => {
    for await (const line of stream.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream())) {
      lines.push(line);
      await Deno.writeTextFile(logPath, `${line}\n`, { append: true });
      wake.resolve();
    }
  };
  const ended = Promise.all([read(child.stdout), read(child.stderr)]).then(async () => {
    const { code } = await child.status;
    isOver = true;
    wake.resolve();
    return code;
  });
  return {
    pid: child.pid,
    ended: ended.then((code) => ({ code, last: lines.at(-1) ?? "" })),
    async match(pattern) {
      for (let at = 0;;) {
        for (; at < lines.length; at++) {
          const match = pattern.exec(lines[at]!);
          if (match !== null) return match[1] ?? match[0];
        }
        if (isOver) {
          throw new LoraFleetError("aborted", `the ${program} has ended: ${lines.slice(-3).join("\n")}`);
        }
        wake = Promise.withResolvers();
        await wake.promise;
      }
    },
    async leave() {
      if (!isOver) child.kill("SIGTERM");
      return await ended;
    },
    async kill() {
      if (!isOver) child.kill("SIGKILL");
      await ended;
    },
  };
}

/** Null if git fails. */
async function git(...args: readonly string[]): Promise<Uint8Array | null> {
  const { success, stdout } = await new Deno.Command("git", {
    ...{ args: ["-C", repositoryRoot, ...args], stdout: "piped", stderr: "null" },
  }).output();
  return success ? stdout : null;
}
