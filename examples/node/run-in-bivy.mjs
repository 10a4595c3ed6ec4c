#!/usr/bin/env node
// How a Node program runs one command in bivy and reads the record. Only Node's own modules are used.
//
//     run-in-bivy.mjs [BIVY-OPTION...] -- COMMAND [ARG...]     BIVY: the program, default "bivy" on the PATH
import { spawn } from "node:child_process";
import { once } from "node:events";
import { buffer } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { realpathSync } from "node:fs";

// Gives { record, stdout, stderr }. The record says how the command ended; an exit status alone cannot. When the AbortSignal `signal`
// is aborted bivy ends the sandbox, and the outcome is "cancelled".
export async function runInBivy(command, options = [], signal = undefined) {
    const child = spawn(process.env.BIVY ?? "bivy", ["run", "--report", "fd:3", ...options, "--", ...command],
        { stdio: ["ignore", "pipe", "pipe", "pipe"] });
    const started = once(child, "spawn"); // rejects when there is no such program
    const stop = () => child.kill("SIGTERM"); // not SIGKILL: bivy ends everything inside, and says in the record that it did
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
    const [text, stdout, stderr] = await Promise.all([child.stdio[3], child.stdout, child.stderr].map(buffer));
    await started;
    signal?.removeEventListener("abort", stop);
    if (text.length === 0) { // a wrong --report option, or bivy itself was killed
        throw new Error(`bivy wrote no record: ${stderr}`);
    }
    return { record: JSON.parse(text), stdout, stderr };
}

// What became of the command, for people, and what bivy advises.
export function sentence({ outcome, exit_code, signal_name, error, hints }) {
    const words = {
        exited: `the command exited with status ${exit_code}`,
        signaled: `${signal_name} ended the command`,
        timeout: "the command was ended because its time was up",
        oom: "the command was ended because its memory was used up",
        output_limit: "the command was ended because it wrote too much",
        cancelled: "the command was ended because we asked for it",
        setup_failed: `nothing ran: ${error?.message}`,
        stuck: "a file system does not answer and holds the command; tell whoever runs this host",
    };
    const parts = [words[outcome] ?? `the sandbox ended in a way that this program does not know: ${outcome}`];
    if (outcome === "setup_failed" && error?.hint) parts.push(error.hint);
    return [...parts, ...hints.map(({ hint }) => hint)].join("; ");
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
    const words = process.argv.slice(2);
    const end = words.indexOf("--");
    const abort = new AbortController();
    process.once("SIGINT", () => abort.abort());
    const { record, stdout, stderr } = await runInBivy(words.slice(end + 1), words.slice(0, Math.max(end, 0)), abort.signal);
    process.stderr.write(stderr);
    console.log(JSON.stringify({ outcome: record.outcome, exit_code: record.exit_code, stdout: stdout.toString(),
        truncated: record.stdout.truncated, limits_hit: record.limits_hit, sentence: sentence(record) }));
}
