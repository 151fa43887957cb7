// The peer `express` of `cargo xtask compare gateway`: a proxy of express and http-proxy-middleware, with jsonwebtoken,
// express-rate-limit, opossum and a request log when there are policies. One process, as Node runs.
import { Agent } from 'node:http';
import { createPublicKey } from 'node:crypto';
import express from 'express';
import rateLimit from 'express-rate-limit';
import jwt from 'jsonwebtoken';
import CircuitBreaker from 'opossum';
import { createProxyMiddleware } from 'http-proxy-middleware';
import { args } from './lib/lines.mjs';

const [options] = args('options as JSON');
const { port, origin, policies } = JSON.parse(options);

const app = express();
app.disable('x-powered-by');
const proxy = createProxyMiddleware({
  target: origin,
  agent: new Agent({ keepAlive: true, maxSockets: 256 }),
});

if (policies) {
  const { keys } = await (await fetch(origin + policies.jwks)).json();
  const known = new Map(keys.map((key) => [key.kid, createPublicKey({ key, format: 'jwk' })]));

  app.use((request, response, next) => {
    const begun = process.hrtime.bigint();
    response.on('finish', () => {
      process.stderr.write(`${JSON.stringify({
        timestamp: new Date().toISOString(),
        method: request.method,
        path: request.originalUrl,
        status: response.statusCode,
        durationMs: Number(process.hrtime.bigint() - begun) / 1e6,
        user: request.user?.sub,
        client: request.socket.remoteAddress,
      })}\n`);
    });
    next();
  });
  app.use((request, response, next) => {
    const token = request.headers.authorization?.replace(/^Bearer /, '');
    const key = (header, callback) => callback(null, known.get(header.kid));
    jwt.verify(token, key, {
      algorithms: ['ES256'],
      issuer: policies.issuer,
      audience: policies.audience,
    }, (error, claims) => {
      if (error) return response.status(401).json({ error: { code: 'UNAUTHORIZED' } });
      if (!claims.roles?.includes(policies.role)) return response.status(403).json({ error: { code: 'FORBIDDEN' } });
      request.user = claims;
      return next();
    });
  });
  app.use(rateLimit({ windowMs: 1_000, limit: 1_000_000, keyGenerator: (request) => request.user.sub }));

  const breaker = new CircuitBreaker((request, response) => new Promise((resolve, reject) => {
    response.on('finish', () => (response.statusCode < 500 ? resolve() : reject(new Error(`${response.statusCode}`))));
    response.on('close', resolve);
    proxy(request, response, reject);
  }), { timeout: 30_000, errorThresholdPercentage: 50, rollingCountTimeout: 10_000, volumeThreshold: 10 });
  app.use((request, response, next) => {
    breaker.fire(request, response).catch((error) => (response.headersSent ? response.destroy() : next(error)));
  });
} else {
  app.use(proxy);
}

app.listen(port, '127.0.0.1');
