/**
 * Requests a WebGPU adapter and prints one line of JSON. Runs as a child process, because a broken driver crashes the process
 * that uses it.
 */
const gpuAdapter = await navigator.gpu?.requestAdapter() ?? null;
const { description = "", vendor = "", architecture = "" } = gpuAdapter?.info ?? {};
console.log(JSON.stringify({
  found: gpuAdapter !== null,
  name: description || `${vendor} ${architecture}`.trim() || "unnamed",
  isCpu: gpuAdapter?.info.isFallbackAdapter ?? false,
}));
