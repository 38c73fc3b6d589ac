/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import io.netty.handler.codec.http.HttpResponseStatus;

/** Why a request is not answered as it wishes: status and text, and one more header if need be. */
final class Refusal extends Exception {

    private static final long serialVersionUID = 1L;

    final HttpResponseStatus status;
    final String header;
    final String value;

    Refusal(HttpResponseStatus status, String text) {
        this(status, text, null, null);
    }

    Refusal(HttpResponseStatus status, String text, String header, String value) {
        // It says what a client did, not where we are: no stack trace.
        super(text, null, false, false);
        this.status = status;
        this.header = header;
        this.value = value;
    }

    /** The request is not HTTP as RFC 9112 has it, or not so clearly that all would agree on it. */
    static Refusal malformed(String text) {
        return new Refusal(HttpResponseStatus.BAD_REQUEST, "The request is not valid HTTP/1.1: " + text);
    }

    /** This server cannot take the request now; another attempt may succeed. */
    static Refusal unavailable(String text) {
        return new Refusal(HttpResponseStatus.SERVICE_UNAVAILABLE, text, "Retry-After", "1");
    }
}
