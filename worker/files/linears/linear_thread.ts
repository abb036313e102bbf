/** One of the threads that read a base model's linear layers. */
import { serveCalls } from "../../../shared/std/thread_calls.ts";
import { buffersIn } from "../../async/thread_messages.ts";
import { answerLinear, type LinearCall } from "./read_linear.ts";

serveCalls((call: LinearCall) => {
  const answer = answerLinear(call);
  return { answer, transfer: buffersIn(answer) };
});
