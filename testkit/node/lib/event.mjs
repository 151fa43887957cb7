// Events as the specification's own publisher makes them.
import { v4 as uuidv4 } from 'uuid';

export function userCreated(index, type = 'user.created') {
  const userId = `usr_${index}`;
  return {
    id: uuidv4(),
    type,
    source: 'auth-service',
    timestamp: new Date().toISOString(),
    correlationId: `req_${uuidv4()}`,
    data: { userId, email: `user${index}@example.com`, roles: ['user'] },
    metadata: { version: '1.0', userId: index % 2 === 0 ? 'usr_admin' : undefined },
  };
}
