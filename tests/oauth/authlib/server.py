"""An authorization server of PyPI's Authlib, and an API that demands its tokens.

Prints where it listens. Rotates refresh tokens, revokes a grant whose refresh token comes a second
time, demands PKCE. Its scopes are separated by spaces, and it knows clients by `client_secret_post`.
"""

import os
import secrets
import threading
import time

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6749.models import AuthorizationCodeMixin
from authlib.oauth2.rfc7636 import CodeChallenge
from flask import Flask, jsonify, request
from werkzeug.serving import make_server

LIFETIME = int(os.environ.get("ACCESS_TOKEN_TTL", "3600"))
CLIENTS, CODES, TOKENS, EXCHANGES = {}, {}, [], []
LOCK = threading.Lock()


class Client(ClientMixin):
    def __init__(self, client_id, secret):
        self.client_id, self.secret, self.redirect_uris = client_id, secret, []

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return None

    def get_allowed_scope(self, scope):
        return scope

    def check_redirect_uri(self, uri):
        return uri in self.redirect_uris

    def check_client_secret(self, secret):
        return secrets.compare_digest(self.secret, secret)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_post"

    def check_response_type(self, kind):
        return kind == "code"

    def check_grant_type(self, kind):
        return kind in ("authorization_code", "refresh_token")


class Code(AuthorizationCodeMixin):
    def __init__(self, **facts):
        self.__dict__.update(facts)

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


class Token(TokenMixin):
    def __init__(self, client, user, issued):
        self.client, self.user, self.issued = client, user, issued
        self.ends, self.revoked, self.used = time.time() + LIFETIME, False, False

    def check_client(self, client):
        return self.client is client

    def get_scope(self):
        return self.issued.get("scope", "")

    def get_expires_in(self):
        return LIFETIME

    def is_expired(self):
        return time.time() >= self.ends

    def is_revoked(self):
        return self.revoked

    def get_user(self):
        return self.user

    def get_client(self):
        return self.client


class CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post"]

    def save_authorization_code(self, code, request):
        challenge = request.payload.data
        CODES[code] = Code(
            code=code,
            client=request.client,
            user=request.user,
            scope=request.payload.scope,
            redirect_uri=request.payload.redirect_uri,
            code_challenge=challenge.get("code_challenge"),
            code_challenge_method=challenge.get("code_challenge_method"),
        )

    def query_authorization_code(self, code, client):
        found = CODES.get(code)
        return found if found and found.client is client else None

    def delete_authorization_code(self, code):
        CODES.pop(code.code, None)

    def authenticate_user(self, code):
        return code.user


class RefreshGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post"]
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, text):
        for token in TOKENS:
            if token.issued.get("refresh_token") == text:
                if token.used:
                    # Somebody has stolen it.
                    for other in TOKENS:
                        other.revoked = True
                return None if token.revoked or token.used else token
        return None

    def authenticate_user(self, credential):
        return credential.user

    def revoke_old_credential(self, credential):
        credential.used = True
        credential.ends = 0


def save(issued, request):
    TOKENS.append(Token(request.client, request.user, issued))


app = Flask(__name__)
app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"authorization_code": LIFETIME, "refresh_token": LIFETIME}
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
server = AuthorizationServer(app, query_client=CLIENTS.get, save_token=save)
server.register_grant(CodeGrant, [CodeChallenge(required=True)])
server.register_grant(RefreshGrant)


@app.get("/.well-known/oauth-authorization-server")
def metadata():
    base = request.url_root.rstrip("/")
    return jsonify(
        issuer=base,
        authorization_endpoint=f"{base}/authorize",
        token_endpoint=f"{base}/token",
        token_endpoint_auth_methods_supported=["client_secret_post"],
        code_challenge_methods_supported=["S256"],
    )


@app.get("/authorize")
def ask():
    server.get_consent_grant(end_user="ada")
    return '<form method="post" action=""><input name="confirm" value="yes"></form>'


@app.post("/authorize")
def answer():
    user = "ada" if request.form.get("confirm") == "yes" else None
    grant = server.get_consent_grant(end_user="ada")
    return server.create_authorization_response(grant_user=user, grant=grant)


@app.post("/token")
def token():
    with LOCK:
        response = server.create_token_response()
        EXCHANGES.append(response.status_code)
        return response


@app.get("/api/me")
def me():
    _, _, text = request.headers.get("authorization", "").partition("Bearer ")
    for known in TOKENS:
        good = not known.revoked and not known.is_expired()
        if text and good and known.issued["access_token"] == text:
            return jsonify(account=known.user, scope=known.get_scope())
    return jsonify(error="invalid_token"), 401


@app.post("/admin/clients")
def register():
    client = Client(secrets.token_urlsafe(12), secrets.token_urlsafe(24))
    CLIENTS[client.client_id] = client
    return jsonify(client_id=client.client_id, client_secret=client.secret)


@app.put("/admin/clients/<client_id>")
def allow(client_id):
    CLIENTS[client_id].redirect_uris = request.json["redirect_uris"]
    return jsonify({})


@app.get("/admin/<what>")
def admin(what):
    for known in TOKENS:
        if what == "revoke":
            known.revoked = True
        if what == "end-access-tokens":
            known.ends = 0
    return jsonify(exchanges=EXCHANGES, mostAtOnce=1)


if __name__ == "__main__":
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"
    http = make_server("127.0.0.1", 0, app, threaded=True)
    print(f"listening on http://127.0.0.1:{http.port}", flush=True)
    http.serve_forever()
