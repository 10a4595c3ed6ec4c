// worker_threads, child_process, fs in all three styles, streams, timers, crypto, compression; http over loopback last.
const assert = require('node:assert');
const { execFileSync, fork, spawn } = require('node:child_process');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { pipeline } = require('node:stream/promises');
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const zlib = require('node:zlib');

async function workers() {
    const counter = new SharedArrayBuffer(4);
    const view = new Int32Array(counter);
    await Promise.all([1, 2, 3].map(() => new Promise((resolve, reject) => {
        const worker = new Worker(__filename, { workerData: counter });
        worker.on('error', reject).on('exit', resolve);
    })));
    console.log('workers', view[0]);
}

async function children() {
    console.log(execFileSync('sh', ['-c', 'echo sync'], { encoding: 'utf8' }).trim());
    const child = spawn('cat', { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.end('spawned');
    let text = '';
    for await (const chunk of child.stdout) text += chunk;
    console.log(text);
    const forked = fork(__filename, ['child']);
    const [answer] = await new Promise((resolve) => forked.on('message', (...all) => resolve(all)));
    console.log('forked', answer);
}

async function files() {
    const where = await fs.promises.mkdtemp(path.join(os.tmpdir(), 'node-'));
    const file = path.join(where, 'file');
    await fs.promises.writeFile(file, 'x'.repeat(300000));
    await fs.promises.copyFile(file, `${file}.copy`);
    await fs.promises.cp(where, `${where}-all`, { recursive: true });
    await pipeline(fs.createReadStream(file), zlib.createGzip(), fs.createWriteStream(`${file}.gz`));
    assert.equal(zlib.gunzipSync(fs.readFileSync(`${file}.gz`)).length, 300000);
    console.log((await fs.promises.readdir(`${where}-all`)).sort().join(), (await fs.promises.stat(file)).size);
    const changed = new Promise((resolve) => {
        const watcher = fs.watch(where, (event, name) => { watcher.close(); resolve(name); });
    });
    fs.writeFileSync(path.join(where, 'new'), '');
    console.log('watched', await changed);
    await fs.promises.rm(where, { recursive: true });
}

async function server() {
    const listening = http.createServer((request, response) => {
        response.end(`${request.method} ${request.url}`);
    });
    await new Promise((resolve) => listening.listen(0, '127.0.0.1', resolve));
    const response = await fetch(`http://127.0.0.1:${listening.address().port}/path`, { method: 'POST' });
    console.log(response.status, await response.text());
    fs.writeFileSync('/tmp/big', Buffer.alloc(1000000));
    const big = http.createServer((request, response) => fs.createReadStream('/tmp/big').pipe(response));
    await new Promise((resolve) => big.listen('/tmp/node.socket', resolve));
    const length = await new Promise((resolve) => http.get({ socketPath: '/tmp/node.socket', path: '/' }, (message) => {
        let bytes = 0;
        message.on('data', (chunk) => { bytes += chunk.length; }).on('end', () => resolve(bytes));
    }));
    console.log('served', length);
    big.close();
    listening.close();
}

async function main() {
    await workers();
    await children();
    await files();
    console.log(crypto.createHash('sha256').update('bivy').digest('hex').slice(0, 8), crypto.randomBytes(8).length);
    console.log(Object.keys(os.networkInterfaces()).join(), os.cpus().length > 0, os.totalmem() > 0);
    await server();
}

if (!isMainThread) {
    for (let i = 0; i < 1000; i++) Atomics.add(new Int32Array(workerData), 0, 1);
    parentPort.close();
} else if (process.argv[2] === 'child') {
    process.send('message');
    process.disconnect();
} else {
    main().catch((error) => { console.error(error); process.exit(1); });
}
