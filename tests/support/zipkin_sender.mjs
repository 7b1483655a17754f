// Sends one trace with Zipkin's own client of JavaScript: node zipkin_sender.mjs URL
// Prints the IDs that the client drew.

import zipkin from 'zipkin';
import transport from 'zipkin-transport-http';

const {Annotation, BatchRecorder, ConsoleRecorder, ExplicitContext, Tracer, jsonEncoder} = zipkin;
const [, , endpoint] = process.argv;
const logger = new transport.HttpLogger({
  endpoint,
  jsonEncoder: jsonEncoder.JSON_V2,
  httpInterval: 50,
  log: {error: message => console.error(message)},
});
const tracer = new Tracer({
  ctxImpl: new ExplicitContext(),
  recorder: new BatchRecorder({logger}),
  localServiceName: 'shop',
  traceId128Bit: true,
});
const ids = tracer.scoped(() => {
  const root = tracer.createRootId();
  tracer.setId(root);
  tracer.recordServiceName('shop');
  tracer.recordRpc('GET /cart');
  tracer.recordAnnotation(new Annotation.ServerRecv());
  tracer.recordBinary('text', 'käse');
  const child = tracer.createChildId();
  tracer.letId(child, () => {
    tracer.recordServiceName('shop');
    tracer.recordRpc('SELECT');
    tracer.recordAnnotation(new Annotation.ClientSend());
    tracer.recordAnnotation(new Annotation.ServerAddr({serviceName: 'db', port: 5432}));
    tracer.recordMessage('cache miss');
    tracer.recordBinary('error', 'no rows');
    tracer.recordAnnotation(new Annotation.ClientRecv());
  });
  tracer.recordAnnotation(new Annotation.ServerSend());
  return {trace: root.traceId, ids: [root.spanId, child.spanId]};
});
console.log(JSON.stringify(ids));
setTimeout(() => process.exit(0), 500);
