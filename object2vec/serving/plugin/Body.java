/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.util.Arrays;

/** A request's body, which takes no more memory than twice what has come in. */
final class Body {

    private static final int FIRST_BYTES = 16 << 10;
    private static final int LINE_BYTES = 32;

    private enum Part {
        DATA,
        SIZE,
        END_OF_CHUNK,
        END
    }

    private final Front front;
    private final Guard owner;
    private final boolean chunked;
    private byte[] data = new byte[0];
    private int filled;
    /** Bytes still to come, of the body or of this chunk. */
    private long left;
    private Part part;
    private LineReader lines;

    Body(Front front, Guard owner, long length) {
        this.front = front;
        this.owner = owner;
        chunked = length < 0;
        left = Math.max(0, length);
        expect(chunked ? Part.SIZE : Part.DATA);
    }

    private void expect(Part next) {
        part = next;
        lines = new LineReader(LINE_BYTES, HttpResponseStatus.BAD_REQUEST);
    }

    int received() {
        return filled;
    }

    /** Take what belongs to this body; true when it is complete. */
    boolean take(ByteBuf in) throws Refusal {
        if (!chunked) {
            fill(in);
            return left == 0;
        }
        while (in.isReadable()) {
            if (part == Part.DATA) {
                fill(in);
                if (left > 0) {
                    return false;
                }
                expect(Part.END_OF_CHUNK);
                continue;
            }
            String line = lines.read(in);
            if (line == null) {
                return false;
            }
            if (part == Part.SIZE) {
                begin(line);
            } else if (!line.isEmpty()) {
                throw Refusal.malformed("a chunk is longer than it says, or trailers follow.");
            } else if (part == Part.END) {
                return true;
            } else {
                expect(Part.SIZE);
            }
        }
        return false;
    }

    private void begin(String line) throws Refusal {
        if (!line.matches("[0-9a-fA-F]{1,15}")) {
            throw Refusal.malformed("the size of a chunk should be a number, without extensions.");
        }
        left = Long.parseLong(line, 16);
        if (filled + left > front.bodyLimit) {
            throw front.contract.tooLarge("more than " + front.bodyLimit);
        }
        expect(left == 0 ? Part.END : Part.DATA);
    }

    private void fill(ByteBuf in) throws Refusal {
        int count = (int) Math.min(left, in.readableBytes());
        if (count > data.length - filled) {
            grow(filled + count);
        }
        in.readBytes(data, filled, count);
        filled += count;
        left -= count;
    }

    private void grow(int needed) throws Refusal {
        long wanted = Math.max(needed, Math.max(FIRST_BYTES, 2L * data.length));
        // The length that was announced is never passed, so that no copy is needed at the end.
        int size = (int) Math.min(wanted, chunked ? front.bodyLimit : filled + left);
        front.reserve(owner, size - data.length);
        data = Arrays.copyOf(data, size);
    }

    /** What came in; the memory is the caller's. */
    byte[] content() {
        release();
        return data.length == filled ? data : Arrays.copyOf(data, filled);
    }

    /** Give the memory's share back. */
    void release() {
        front.reserved(-data.length);
    }
}
