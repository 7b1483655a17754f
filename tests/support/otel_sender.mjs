// Sends one trace with the real OpenTelemetry SDK of JavaScript: node otel_sender.mjs EXPORTER URL
// Prints what only it knows: the IDs that the SDK drew.

import {SpanKind, SpanStatusCode, trace, ROOT_CONTEXT} from '@opentelemetry/api';
import {OTLPTraceExporter as GrpcExporter} from '@opentelemetry/exporter-trace-otlp-grpc';
import {OTLPTraceExporter as JsonExporter} from '@opentelemetry/exporter-trace-otlp-http';
import {OTLPTraceExporter as ProtobufExporter} from '@opentelemetry/exporter-trace-otlp-proto';
import {ZipkinExporter} from '@opentelemetry/exporter-zipkin';
import {resourceFromAttributes} from '@opentelemetry/resources';
import {BasicTracerProvider, SimpleSpanProcessor} from '@opentelemetry/sdk-trace-base';

const [, , name, url] = process.argv;
const Exporter = {
  grpc: GrpcExporter,
  json: JsonExporter,
  protobuf: ProtobufExporter,
  zipkin: ZipkinExporter,
}[name];
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({'service.name': 'shop', 'host.name': 'js-1'}),
  spanProcessors: [new SimpleSpanProcessor(new Exporter({url}))],
});
const tracer = provider.getTracer('checkout', '1.2.3');

const start = [1700000000, 1000];
const other = {traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1};
const root = tracer.startSpan(
  'GET /cart',
  {
    kind: SpanKind.SERVER,
    startTime: start,
    attributes: {text: 'käse', whole: 42, real: 0.5, yes: true, texts: ['a', 'b'], wholes: [1, 2]},
    links: [{context: other, attributes: {why: 'retry'}}],
  },
  ROOT_CONTEXT
);
const child = tracer.startSpan(
  'SELECT',
  {kind: SpanKind.CLIENT, startTime: [1700000000, 2000]},
  trace.setSpan(ROOT_CONTEXT, root)
);
child.addEvent('cache miss', {key: 'k', size: 7}, [1700000000, 3000]);
child.setStatus({code: SpanStatusCode.ERROR, message: 'no rows'});
child.end([1700000000, 5000]);
root.end([1700000000, 9000]);
await provider.forceFlush();
await provider.shutdown();
console.log(JSON.stringify({trace: root.spanContext().traceId, ids: [root, child].map(s => s.spanContext().spanId)}));
