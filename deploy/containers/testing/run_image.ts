/** Programs inside a scratch image: with its files, its user and its variables, and without anything else of this machine. */
import { DEVICES, type ScratchImage } from "./scratch_images.ts";

/** 125 as of container runtimes: the program has not been started. */
const MOUNT_AND_RUN = `root=$1 folder=$2 user=$3; shift 3
mount --rbind /proc "$root/proc" || exit 125
while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit 125; shift 2; done
for device in ${DEVICES.join(" ")}; do mount --bind "/$device" "$root/$device" || exit 125; done
exec unshare --root="$root" --wd="$folder" $user "$@"`;

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Without any network, its own addresses included. */
  readonly isOffline?: boolean;
}

/** All of it is one process, so that a signal reaches the program. */
export function commandIn(
  image: ScratchImage,
  words: readonly string[],
  options: RunOptions = {},
): Deno.Command {
  const { env = {}, isOffline = false } = options;
  const isRoot = Deno.uid() === 0;
  const [uid, gid] = image.user.split(":");
  return new Deno.Command("unshare", {
    args: [
      "--mount",
      // A user of its own may mount, but has one id only.
      ...(isRoot ? [] : ["--user", "--map-root-user"]),
      ...(isOffline ? ["--net"] : []),
      ...["--", "sh", "-c", MOUNT_AND_RUN, "sh", image.root, image.folder],
      ...[
        isRoot ? `--setgid=${gid} --setuid=${uid}` : "",
        ...Object.entries(image.mounts).flat(),
        "--",
        ...words,
      ],
    ],
    clearEnv: true,
    env: { ...image.env, ...env },
    ...{ stdin: "null", stdout: "piped", stderr: "piped" },
  });
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function outcomeOf(child: Deno.ChildProcess): Promise<Outcome> {
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

export function runIn(
  image: ScratchImage,
  words: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  return outcomeOf(commandIn(image, words, options).spawn());
}

/** Why this machine cannot do that; null if it can. */
export function whyNoScratchImage(): string | null {
  if (Deno.build.os !== "linux") return "the images are Linux's";
  const user = Deno.uid() === 0 ? [] : ["--user", "--map-root-user"];
  try {
    const { success, stderr } = new Deno.Command("unshare", {
      args: [
        "--mount",
        "--net",
        ...user,
        "--",
        "sh",
        "-c",
        "d=$(mktemp -d); mount --rbind /proc $d; rc=$?; umount -l $d; rmdir $d; exit $rc",
      ],
    }).outputSync();
    return success ? null : `unshare: ${new TextDecoder().decode(stderr).trim()}`;
  } catch (thrown) {
    return String(thrown);
  }
}
