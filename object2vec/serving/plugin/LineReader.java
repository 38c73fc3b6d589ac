/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.http.HttpResponseStatus;

/**
 * Reads lines that end in CRLF, as they come in pieces.
 *
 * <p>A lone CR or LF and other control characters are errors: whoever stands in front of this
 * server may see the end of a line where we do not, or the other way round.
 */
final class LineReader {

    private final StringBuilder line = new StringBuilder();
    private final HttpResponseStatus tooLong;
    private int left;
    private boolean carriageReturn;

    /** A reader of lines that are `limit` bytes long in all, else the answer is `tooLong`. */
    LineReader(int limit, HttpResponseStatus tooLong) {
        left = limit;
        this.tooLong = tooLong;
    }

    /** The next line without its end, or null if it is not complete yet. */
    String read(ByteBuf in) throws Refusal {
        while (in.isReadable()) {
            int value = in.readUnsignedByte();
            if (--left < 0) {
                throw new Refusal(tooLong, "The head of the request is too long.");
            }
            if (carriageReturn) {
                if (value != '\n') {
                    throw Refusal.malformed("a CR stands without LF.");
                }
                String whole = line.toString();
                line.setLength(0);
                carriageReturn = false;
                return whole;
            }
            if (value == '\r') {
                carriageReturn = true;
            } else if (value < ' ' && value != '\t' || value == 0x7f) {
                throw Refusal.malformed("a line holds a control character.");
            } else {
                line.append((char) value);
            }
        }
        return null;
    }
}
