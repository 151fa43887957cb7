// Prints events exactly as a TypeScript service serializes them, one a line. Every second one has no metadata.userId.
import { args, print } from './lib/lines.mjs';
import { userCreated } from './lib/event.mjs';

const [count = '1', type] = args('[count]', '[type]');
for (let index = 0; index < Number(count); index += 1) print(userCreated(index, type));
