export { turnOfEventLoop } from "../../shared/std/turn.ts";
