// Sends one trace with Jaeger's own client of JavaScript: node jaeger_sender.mjs URL
// Prints the IDs that the client drew.

import jaeger from 'jaeger-client';

const [, , endpoint] = process.argv;
const silent = {info() {}, error: message => console.error(message)};
const tracer = jaeger.initTracer(
  {serviceName: 'shop', sampler: {type: 'const', param: 1}, reporter: {collectorEndpoint: endpoint}},
  {logger: silent, tags: {'deployment.environment': 'test'}}
);
const root = tracer.startSpan('GET /cart', {
  startTime: 1700000000000,
  tags: {'span.kind': 'server', text: 'käse', real: 0.5, yes: true},
});
const child = tracer.startSpan('SELECT', {childOf: root, startTime: 1700000000002});
child.setTag('error', true);
child.log({event: 'cache miss', key: 'k'}, 1700000000003);
child.finish(1700000000005);
root.finish(1700000000009);
const id = span => span.context();
console.log(
  JSON.stringify({
    trace: id(root).traceIdStr,
    ids: [root, child].map(span => id(span).spanIdStr),
  })
);
tracer.close(() => process.exit(0));
