const os = require('os'), v8 = require('v8');
console.log(Math.round(v8.getHeapStatistics().heap_size_limit / 2 ** 20), os.availableParallelism(),
    process.constrainedMemory ? process.constrainedMemory() : -1);
