/**
 * The images' entry points in folders that hold what the Containerfile puts into them and nothing else: whatever it forgets is
 * missing here, too. `tests/clients/containers.sh` does the same with real images.
 */
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { whyNoPackages } from "../../deploy/containers/testing/host_packages.ts";
import {
  commandIn,
  type Outcome,
  outcomeOf,
  runIn,
  whyNoScratchImage,
} from "../../deploy/containers/testing/run_image.ts";
import {
  type ScratchImage,
  ScratchImages,
  type ScratchSources,
} from "../../deploy/containers/testing/scratch_images.ts";
import { repositoryRoot } from "../../deploy/machine/fleet.ts";
import { findNatsServer } from "../../deploy/setup/checks.ts";
import { systemClock } from "../../shared/clock.ts";
import { freePort, until } from "./coordinator_child.ts";

const whyNot = whyNoScratchImage() ?? whyNoPackages(["libvulkan1", "mesa-vulkan-drivers"]);
if (whyNot !== null) console.log(`no image can be run here: ${whyNot}`);
const inImages = { ignore: whyNot !== null };

const folder = await Deno.makeTempDir({ prefix: "lorafleet-images-" });
Deno.test.afterAll(() => Deno.remove(folder, { recursive: true }));

const CONTAINERFILE = await Deno.readTextFile(join(repositoryRoot, "deploy/containers/Containerfile"));
const IGNORED = await Deno.readTextFile(join(repositoryRoot, ".dockerignore"));
const DRIVERS = ["libegl1", "libvulkan1", "libxext6", "mesa-vulkan-drivers"];
const KEY = "a-key-of-the-images";
const TOKEN = "a-token-of-the-images-1";
/** Between health checks, which are processes. */
const PAUSE_MS = 250;

function imagesOf(name: string, change: Partial<ScratchSources> = {}): ScratchImages {
  const natsServer = findNatsServer(Deno.env.get("PATH") ?? "");
  return new ScratchImages(join(folder, name), {
    ...{ containerfile: CONTAINERFILE, ignored: IGNORED, context: repositoryRoot },
    binaries: { "/deno": Deno.execPath(), ...(natsServer === null ? {} : { "/nats-server": natsServer }) },
    modules: join(folder, "modules"),
    ...change,
  });
}

const images = imagesOf("whole");

interface Container extends AsyncDisposable {
  /** What it has said, once it has ended. */
  readonly ended: Promise<Outcome>;
  /** The answer of the image's own health check. */
  health(): Promise<Outcome>;
  /** By SIGTERM. */
  stop(): Promise<Outcome>;
}

function start(image: ScratchImage, env: Readonly<Record<string, string>>): Container {
  const child = commandIn(image, image.entry, { env }).spawn();
  const ended = outcomeOf(child);
  const stop = () => {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    return ended;
  };
  return {
    ended,
    health: () => runIn(image, image.health, { env }),
    stop,
    async [Symbol.asyncDispose]() {
      await stop();
    },
  };
}

/** Until the health check ends with `code` and says `words`. */
async function becomes({ health, ended }: Container, code: number, words = /^/): Promise<void> {
  let last = "";
  const isSo = async () => {
    const { code: found, stderr } = await health();
    last = stderr;
    if (found === code && words.test(stderr)) return true;
    await systemClock.sleep(PAUSE_MS);
    return false;
  };
  const died = ended.then(({ stderr }) => Promise.reject(new Error(`it has ended: ${stderr}`)));
  died.catch(() => {});
  await Promise.race([until("health", isSo, () => last), died]);
}

function coordinatorVariables(): Record<string, string> {
  return {
    ...{ LORAFLEET_API_KEY: KEY, LORAFLEET_JOIN_TOKEN: TOKEN, LORAFLEET_HOST: "127.0.0.1" },
    ...{ LORAFLEET_PORT: String(freePort()), LORAFLEET_NATS_PORT: String(freePort()) },
  };
}

async function workerStates(port: string): Promise<readonly string[]> {
  const headers = { authorization: `Bearer ${KEY}` };
  const answer = await fetch(`http://127.0.0.1:${port}/v1/workers`, { headers });
  return (await answer.json()).data.map(({ state }: { state: string }) => state);
}

const BOTH = "coordinator's and worker's image start with what they hold, are healthy, and end by SIGTERM";
Deno.test(BOTH, inImages, async () => {
  const env = coordinatorVariables();
  const port = env["LORAFLEET_PORT"]!;
  await using coordinator = start(images.image("coordinator"), env);
  const join = `http://127.0.0.1:${port}/join/${TOKEN}`;
  await using worker = start(images.image("worker"), { LORAFLEET_JOIN: join, LORAFLEET_ALLOW_CPU: "1" });
  await becomes(coordinator, 0);
  await becomes(worker, 0);
  assertEquals(await workerStates(port), ["ready"]);
  const left = await worker.stop();
  assertEquals(left.code, 0, left.stderr);
  assertMatch(left.stderr, /left the fleet/);
  const ended = await coordinator.stop();
  assertEquals(ended.code, 0, ended.stderr);
  assertEquals((await coordinator.health()).code, 1);
});

Deno.test(
  "the pod's image starts both with what it holds, is healthy, and ends by SIGTERM",
  inImages,
  async () => {
    const env: Record<string, string> = { ...coordinatorVariables(), LORAFLEET_ALLOW_CPU: "1" };
    await using pod = start(images.image("pod"), env);
    await becomes(pod, 0);
    assertEquals(await workerStates(env["LORAFLEET_PORT"]!), ["ready"]);
    const { code, stderr } = await pod.stop();
    assertEquals(code, 0, stderr);
  },
);

const DRIVERLESS =
  "an image without a driver: log, health check and doctor say what to do, and SIGTERM ends it";
Deno.test(DRIVERLESS, inImages, async () => {
  const image = imagesOf("driverless", { without: DRIVERS }).image("worker");
  const env = { LORAFLEET_JOIN: "http://127.0.0.1:9/join/a-token", LORAFLEET_ALLOW_CPU: "1" };
  const what =
    "this container has no GPU and its image no Vulkan driver \\(Debian: libvulkan1, mesa-vulkan-drivers;";
  const reason = new RegExp(`Opening the GPU failed: ${what} .*--gpus all`);
  await using worker = start(image, env);
  await becomes(worker, 1, reason);
  const { code, stderr } = await worker.stop();
  assertEquals(code, 1, stderr);
  assertMatch(stderr, reason);
  assertMatch(stderr, /this container is unhealthy for 5 min and ends then/);
  const doctor = ["deno", "run", "--cached-only", "-A", "deploy/doctor/main.ts"];
  const { code: verdict, stdout } = await runIn(image, doctor, { env, isOffline: true });
  assertEquals(verdict, 1, stdout);
  assertMatch(stdout, new RegExp(`FAIL +GPU +${what}`));
  assertMatch(stdout, /→ start it with the host's GPU \(docker: --gpus all/);
});

function without(line: RegExp): Partial<ScratchSources> {
  assertMatch(CONTAINERFILE, line);
  return { containerfile: CONTAINERFILE.replace(line, "") };
}

for (const name of ["shared", "coordinator", "worker", "deploy"]) {
  Deno.test(`a Containerfile that forgets ${name}/ cannot be built`, inImages, () => {
    const change = without(new RegExp(`^COPY --chown=\\S+ ${name} ${name}\n`, "m"));
    const error = assertThrows(() => imagesOf(`no-${name}`, change).image("coordinator"), Error);
    assertMatch(error.message, new RegExp(`/app/${name}/`));
  });
}

const FORGOTTEN: readonly (readonly [what: string, line: RegExp, complaint: RegExp])[] = [
  [
    "modules",
    /^COPY --from=app \/opt\/deno \/opt\/deno\n/m,
    /npm package .* not cached|not found in npm cache|--cached-only/,
  ],
  ["nats-server", /^COPY --from=nats \S+ \S+\n/m, /nats-server/],
  ["code", /^COPY --from=app \/app \/app\n/m, /permission set 'coordinator'/],
];
for (const [what, line, complaint] of FORGOTTEN) {
  Deno.test(`an image that lacks its ${what} does not start`, inImages, async () => {
    const image = imagesOf(`without-${what}`, without(line)).image("coordinator");
    const { code, stderr } = await runIn(image, image.entry, { env: coordinatorVariables() });
    assert(code !== 0, stderr);
    assertMatch(stderr, complaint);
  });
}
