/** Server-sent events, parsed as in the HTML standard. */

interface ServerEvent {
  /** "message" unless named. */
  readonly name: string;
  readonly data: string;
  /** The newest id so far; "" before the first. */
  readonly id: string;
}

/** Reads events until the body ends. Drops an incomplete last event. */
export async function* readServerEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  let data: string[] = [];
  let name = "message";
  let id = "";
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop()!;
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield { name, data: data.join("\n"), id };
        data = [];
        name = "message";
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") data.push(value);
      else if (field === "event") name = value;
      else if (field === "id" && !value.includes("\0")) id = value;
    }
  }
}
