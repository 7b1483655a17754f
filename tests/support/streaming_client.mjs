// Searches by the gRPC client of Node: node streaming_client.mjs <file.proto> <directory of its imports> <host:port>...
// prints what each target answered, as JSON.
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [proto, includes, ...targets] = process.argv.slice(2);
const definition = loader.loadSync(proto, { keepCase: true, longs: String, includeDirs: [includes] });
const { StreamingQuerier } = grpc.loadPackageDefinition(definition).tempopb;

function search(client, request) {
  return new Promise((resolve) => {
    const messages = [];
    const call = client.Search(request, new grpc.Metadata(), { deadline: Date.now() + 30_000 });
    call.on("data", (message) => messages.push(message));
    call.on("error", (error) => resolve({ code: error.code, details: error.details }));
    call.on("end", () => resolve({ code: 0, messages }));
  });
}

const answers = [];
for (const target of targets) {
  const client = new StreamingQuerier(target, grpc.credentials.createInsecure());
  const asked = Array.from({ length: 20 }, () => search(client, { Query: "{}", Limit: 100 }));
  const found = await Promise.all(asked);
  const refused = await search(client, { Query: "{ x" });
  answers.push({ found, refused });
  client.close();
}
console.log(JSON.stringify(answers));
