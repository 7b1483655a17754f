// Reads a JSON list of queries, writes for each the texts at which Grafana's editor grammar stumbles.
import { readFileSync } from 'node:fs';
import { parser } from '@grafana/lezer-traceql';

const errorsOf = (query) => {
  const errors = [];
  parser.parse(query).iterate({
    enter: (node) => {
      if (node.type.isError) errors.push(`${node.from}..${node.to}`);
    },
  });
  return errors;
};

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, 'utf8')).map(errorsOf)));
