// An authorization server that Keystile's authors did not write (npm oidc-provider), and an API that
// demands its tokens. Prints where it listens. Rotates refresh tokens, revokes a grant whose refresh
// token comes a second time, demands PKCE.
//
//   PACKAGES=…/oidc-provider ACCESS_TOKEN_TTL=3600 node server.mjs
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const { Provider } = await import(
  pathToFileURL(`${process.env.PACKAGES}/node_modules/oidc-provider/lib/index.js`).href
);
const lifetime = Number(process.env.ACCESS_TOKEN_TTL ?? 3600);

const server = createServer();
await new Promise((listening) => server.listen(0, '127.0.0.1', listening));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    registration: { enabled: true },
    registrationManagement: { enabled: true, rotateRegistrationAccessToken: false },
    revocation: { enabled: true },
  },
  scopes: ['openid', 'offline_access', 'notes.read', 'notes.write'],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  ttl: { AccessToken: lifetime, ClientCredentials: lifetime },
  findAccount: async (_, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  cookies: { keys: ['only for tests'] },
});

const grants = new Set();
const tokens = new Set();
let exchanges = [];
let running = 0;
let mostAtOnce = 0;
provider.on('grant.success', (ctx) => {
  if (ctx.oidc.entities.Grant) grants.add(ctx.oidc.entities.Grant.jti);
});

provider.on('access_token.saved', (token) => tokens.add(token.jti));

const json = (response, status, value) => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
};

// What a person does at the provider, and what a test wants to know of it.
async function admin(request, response) {
  if (request.url === '/admin/revoke') {
    for (const grant of grants) {
      await provider.AccessToken.adapter.revokeByGrantId(grant);
      await provider.RefreshToken.adapter.revokeByGrantId(grant);
      await provider.Grant.adapter.destroy(grant);
    }
    grants.clear();
  }
  if (request.url === '/admin/end-access-tokens') {
    for (const token of tokens) await provider.AccessToken.adapter.destroy(token);
    tokens.clear();
  }
  json(response, 200, { exchanges, mostAtOnce });
}

async function api(request, response) {
  const [, token] = (request.headers.authorization ?? '').split('Bearer ');
  const found = token
    && ((await provider.AccessToken.find(token)) ?? (await provider.ClientCredentials.find(token)));
  if (!found) return json(response, 401, { error: 'invalid_token' });
  return json(response, 200, { account: found.accountId ?? found.clientId, scope: found.scope });
}

const callback = provider.callback();
server.on('request', async (request, response) => {
  if (request.url.startsWith('/admin/')) return admin(request, response);
  if (request.url.startsWith('/api/')) return api(request, response);
  if (request.method === 'POST' && request.url === '/token') {
    running += 1;
    mostAtOnce = Math.max(mostAtOnce, running);
    response.on('close', () => {
      running -= 1;
      exchanges.push(response.statusCode);
    });
  }
  return callback(request, response);
});
console.log(`listening on ${issuer}`);
