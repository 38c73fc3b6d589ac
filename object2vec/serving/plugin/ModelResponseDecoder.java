/* SPDX-License-Identifier: Apache-2.0 */
package com.amazonaws.ml.mms.util.codec;

import com.amazonaws.ml.mms.util.messages.ModelWorkerResponse;
import com.amazonaws.ml.mms.util.messages.Predictions;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.ByteToMessageDecoder;
import io.netty.handler.codec.CorruptedFrameException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Stands in front of the server's own class of this name: reads what a worker answers.
 *
 * <p>The buffer grows at once to what the worker announces. The server's own lets it grow by 4 MB,
 * each time with a copy of all, which takes time with the square of the answer's length.
 */
public class ModelResponseDecoder extends ByteToMessageDecoder {

    private static final int END = -1;

    private final int limit;
    /** Bytes that have to be there before another look is worth it. */
    private int needed;

    public ModelResponseDecoder(int limit) {
        this.limit = limit;
    }

    @Override
    protected void decode(ChannelHandlerContext ctx, ByteBuf in, List<Object> out) {
        if (in.readableBytes() < needed) {
            return;
        }
        int start = in.readerIndex();
        ModelWorkerResponse response = read(in, start);
        if (response == null) {
            in.readerIndex(start);
            in.ensureWritable(needed - in.readableBytes());
        } else {
            needed = 0;
            out.add(response);
        }
    }

    /** The next answer, or null if more has to come first. */
    private ModelWorkerResponse read(ByteBuf in, int start) {
        if (lacks(in, start, 4)) {
            return null;
        }
        ModelWorkerResponse response = new ModelWorkerResponse();
        response.setCode(in.readInt());
        byte[] message = field(in, start);
        if (message == null) {
            return null;
        }
        response.setMessage(text(message));
        List<Predictions> predictions = new ArrayList<>();
        while (!lacks(in, start, 4)) {
            if (in.getInt(in.readerIndex()) == END) {
                in.skipBytes(4);
                response.setPredictions(predictions);
                return response;
            }
            Predictions prediction = prediction(in, start);
            if (prediction == null) {
                return null;
            }
            predictions.add(prediction);
        }
        return null;
    }

    private Predictions prediction(ByteBuf in, int start) {
        Predictions prediction = new Predictions();
        byte[] id = field(in, start);
        byte[] type = id == null ? null : field(in, start);
        if (type == null || lacks(in, start, 4)) {
            return null;
        }
        prediction.setRequestId(text(id));
        prediction.setContentType(text(type));
        prediction.setStatusCode(in.readInt());
        byte[] phrase = field(in, start);
        if (phrase == null || lacks(in, start, 4)) {
            return null;
        }
        prediction.setReasonPhrase(text(phrase));
        int length = length(in);
        if (lacks(in, start, length)) {
            return null;
        }
        prediction.setHeaders(CodecUtils.readMap(in, length));
        byte[] body = field(in, start);
        if (body == null) {
            return null;
        }
        prediction.setResp(body);
        return prediction;
    }

    /** Bytes that stand behind their number. */
    private byte[] field(ByteBuf in, int start) {
        if (lacks(in, start, 4)) {
            return null;
        }
        int length = length(in);
        if (lacks(in, start, length)) {
            return null;
        }
        byte[] bytes = new byte[length];
        in.readBytes(bytes);
        return bytes;
    }

    private int length(ByteBuf in) {
        int length = in.readInt();
        if (length < 0 || length > limit) {
            throw new CorruptedFrameException(
                    "A worker announces " + length + " bytes; the limit is " + limit + ".");
        }
        return length;
    }

    private boolean lacks(ByteBuf in, int start, int bytes) {
        needed = in.readerIndex() - start + bytes;
        return in.readableBytes() < bytes;
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
