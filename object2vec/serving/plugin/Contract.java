/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Locale;
import java.util.Set;

/** Which paths, methods, types and sizes there are: what is answered or refused without a model. */
final class Contract {

    private static final String INVOCATIONS = "/invocations";
    private static final String PING = "/ping";
    private static final String PARAMETERS = "/execution-parameters";
    private static final int LONGEST_METHOD = 20;
    private static final int LONGEST_TYPE = 60;
    private static final String FORM = "application/x-www-form-urlencoded";
    private static final String FORM_HINT =
            " (curl -d sends this type unless it has -H 'Content-Type: application/json').";

    private final int bodyLimit;
    private final String parameters;
    private final Set<String> mediaTypes;
    private final String accepted;

    /**
     * @param parameters the answer of /execution-parameters
     * @param mediaTypes separated by commas
     * @param accepted the same for people
     */
    Contract(int bodyLimit, String parameters, String mediaTypes, String accepted) {
        this.bodyLimit = bodyLimit;
        this.parameters = parameters;
        this.mediaTypes = new HashSet<>(Arrays.asList(mediaTypes.split(",")));
        this.accepted = accepted;
    }

    /** The answer of a request that asks no model; null where it is an invocation. */
    FullHttpResponse answer(Head head) throws Refusal {
        String path = head.path();
        String allowed = methods(path);
        if (allowed == null) {
            if (head.method.equals("OPTIONS") && path.equals("*")) {
                return Answer.allow("GET, HEAD, POST, OPTIONS");
            }
            throw new Refusal(
                    HttpResponseStatus.NOT_FOUND,
                    "Nothing is here; requests go to /invocations, and there are /ping and "
                            + "/execution-parameters.");
        }
        if (head.method.equals("OPTIONS")) {
            return Answer.allow(allowed);
        }
        if (!(", " + allowed + ",").contains(", " + head.method + ",")) {
            throw new Refusal(
                    HttpResponseStatus.METHOD_NOT_ALLOWED,
                    notAnswered(head.method, path, allowed),
                    "Allow",
                    allowed);
        }
        return path.equals(INVOCATIONS) ? null : information(path);
    }

    /** Methods of a path, or null where nothing is. */
    private static String methods(String path) {
        switch (path) {
            case INVOCATIONS:
                return "POST, OPTIONS";
            case PING:
            case PARAMETERS:
                return "GET, HEAD, OPTIONS";
            default:
                return null;
        }
    }

    private static String notAnswered(String method, String path, String allowed) {
        // A token needs no escapes in JSON; OPTIONS tells, but answers nothing.
        String named = method.length() > LONGEST_METHOD ? "This method" : method;
        String others = allowed.replace(", OPTIONS", "");
        String are = others.contains(", ") ? " are." : " is.";
        return named + " is not answered at " + path + "; " + others.replace(", ", " and ") + are;
    }

    /** The answer of a path that is only read. */
    private FullHttpResponse information(String path) {
        if (path.equals(PARAMETERS)) {
            return Answer.json(HttpResponseStatus.OK, parameters);
        }
        boolean healthy = Workers.canAnswer();
        return Answer.json(
                healthy ? HttpResponseStatus.OK : HttpResponseStatus.SERVICE_UNAVAILABLE,
                "{\"status\": \"" + (healthy ? "Healthy" : "No worker can answer") + "\"}");
    }

    /** Refuse what the model would refuse, before anything of the body is read. */
    void checkInvocation(Head head) throws Refusal {
        checkContentType(head.headers.get("content-type"));
        if (head.length > bodyLimit) {
            throw tooLarge(Long.toString(head.length));
        }
    }

    private void checkContentType(String header) throws Refusal {
        if (header == null || header.isEmpty()) {
            return;
        }
        String type = header.split(";", 2)[0].trim().toLowerCase(Locale.ROOT);
        if (mediaTypes.contains(type)) {
            return;
        }
        boolean plain = type.length() <= LONGEST_TYPE && Head.isToken(type.replace("/", ""));
        throw new Refusal(
                HttpResponseStatus.UNSUPPORTED_MEDIA_TYPE,
                (plain ? "Content type '" + type + "'" : "This Content-Type")
                        + " is not supported; accepted are "
                        + accepted
                        + (type.equals(FORM) ? FORM_HINT : "."));
    }

    Refusal tooLarge(String bytes) {
        return new Refusal(
                HttpResponseStatus.REQUEST_ENTITY_TOO_LARGE,
                "The body has "
                        + bytes
                        + " bytes, and at most "
                        + bodyLimit
                        + " ("
                        + (bodyLimit >> 20)
                        + " MB) are taken; send fewer instances at once, or raise "
                        + "SAGEMAKER_MAX_PAYLOAD_IN_MB where the server starts.");
    }
}
