/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpVersion;
import java.nio.charset.StandardCharsets;

/** Makes answers. */
final class Answer {

    private static final String JSON = "application/json";

    private Answer() {}

    static FullHttpResponse of(HttpResponseStatus status, CharSequence type, byte[] content) {
        FullHttpResponse answer =
                new DefaultFullHttpResponse(
                        HttpVersion.HTTP_1_1, status, Unpooled.wrappedBuffer(content));
        if (type != null && type.length() > 0) {
            answer.headers().set(HttpHeaderNames.CONTENT_TYPE, type);
        }
        return answer;
    }

    static FullHttpResponse json(HttpResponseStatus status, String text) {
        return of(status, JSON, (text + "\n").getBytes(StandardCharsets.UTF_8));
    }

    /** An error in the form of the model's own; the texts of refusals need no escapes in JSON. */
    static FullHttpResponse error(Refusal refusal) {
        FullHttpResponse answer =
                json(refusal.status, "{\"error\": \"" + refusal.getMessage() + "\"}");
        if (refusal.header != null) {
            answer.headers().set(refusal.header, refusal.value);
        }
        return answer;
    }

    /** An answer without a body that names the methods of a path. */
    static FullHttpResponse allow(String methods) {
        FullHttpResponse answer = of(HttpResponseStatus.NO_CONTENT, null, new byte[0]);
        answer.headers().set(HttpHeaderNames.ALLOW, methods);
        return answer;
    }
}
