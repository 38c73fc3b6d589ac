/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import io.netty.handler.codec.http.HttpResponseStatus;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A request's head, read strictly: whatever others could read differently is refused. */
final class Head {

    private static final String TOKEN_SIGNS = "!#$%&'*+-.^_`|~";
    private static final Pattern URL =
            Pattern.compile("https?://[^/?#@]+(?=[/?]|$)", Pattern.CASE_INSENSITIVE);

    final String method;
    final String target;
    final String protocol;
    /** Names in small letters. */
    final Map<String, String> headers = new LinkedHashMap<>();
    /** Bytes of the body, and -1 for one in chunks. */
    final long length;

    Head(List<String> lines) throws Refusal {
        String[] parts = lines.get(0).split(" ", -1);
        if (parts.length != 3 || !isToken(parts[0]) || !isVisible(parts[1])) {
            throw Refusal.malformed("its first line is not METHOD PATH HTTP/1.1.");
        }
        method = parts[0];
        target = parts[1];
        protocol = parts[2];
        if (!protocol.equals("HTTP/1.1") && !protocol.equals("HTTP/1.0")) {
            if (protocol.matches("HTTP/[0-9]\\.[0-9]")) {
                throw new Refusal(
                        HttpResponseStatus.HTTP_VERSION_NOT_SUPPORTED,
                        "Only HTTP/1.1 and HTTP/1.0 are answered here.");
            }
            throw Refusal.malformed("its first line is not METHOD PATH HTTP/1.1.");
        }
        for (String line : lines.subList(1, lines.size())) {
            add(line);
        }
        length = bodyLength();
    }

    private void add(String line) throws Refusal {
        int colon = line.indexOf(':');
        if (colon < 1 || !isToken(line.substring(0, colon))) {
            throw Refusal.malformed("a header is not NAME: VALUE.");
        }
        String name = line.substring(0, colon).toLowerCase(Locale.ROOT);
        String value = line.substring(colon + 1).trim();
        String other = headers.get(name);
        if (other != null) {
            switch (name) {
                case "content-length":
                case "content-type":
                case "host":
                case "transfer-encoding":
                    throw Refusal.malformed("the header " + name + " stands there twice.");
                default:
                    value = other + ", " + value;
            }
        }
        headers.put(name, value);
    }

    private long bodyLength() throws Refusal {
        String size = headers.get("content-length");
        String coding = headers.get("transfer-encoding");
        if (coding != null) {
            if (size != null || !protocol.equals("HTTP/1.1") || !coding.equalsIgnoreCase("chunked")) {
                throw Refusal.malformed(
                        "Transfer-Encoding should be chunked, and stand without Content-Length.");
            }
            return -1;
        }
        if (size == null) {
            return 0;
        }
        if (!size.matches("[0-9]{1,18}")) {
            throw Refusal.malformed("Content-Length should be a number.");
        }
        return Long.parseLong(size);
    }

    boolean hasBody() {
        return length != 0;
    }

    /** The path of the target, which may be a whole URL; its query is heeded nowhere. */
    String path() {
        Matcher url = target.startsWith("/") ? null : URL.matcher(target);
        String rest = url != null && url.lookingAt() ? target.substring(url.end()) : target;
        int mark = rest.indexOf('?');
        String path = mark < 0 ? rest : rest.substring(0, mark);
        return path.isEmpty() ? "/" : path;
    }

    /** Whether the client waits for a go-ahead before it sends the body. */
    boolean expectsContinue() throws Refusal {
        String expect = headers.get("expect");
        if (expect == null || protocol.equals("HTTP/1.0")) {
            return false;
        }
        if (!expect.equalsIgnoreCase("100-continue")) {
            throw new Refusal(
                    HttpResponseStatus.EXPECTATION_FAILED, "Only Expect: 100-continue is known here.");
        }
        return true;
    }

    /** Whether the client would send another request on this connection. */
    boolean keepsAlive() {
        boolean keep = protocol.equals("HTTP/1.1");
        for (String option : headers.getOrDefault("connection", "").split(",")) {
            String name = option.trim().toLowerCase(Locale.ROOT);
            if (name.equals("close")) {
                return false;
            }
            keep |= name.equals("keep-alive");
        }
        return keep;
    }

    static boolean isToken(String text) {
        return !text.isEmpty()
                && text.chars().allMatch(c -> isAlphanumeric(c) || TOKEN_SIGNS.indexOf(c) >= 0);
    }

    private static boolean isAlphanumeric(int c) {
        return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9';
    }

    private static boolean isVisible(String text) {
        return !text.isEmpty() && text.chars().allMatch(c -> c > ' ' && c < 0x7f);
    }
}
