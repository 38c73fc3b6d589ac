/* SPDX-License-Identifier: Apache-2.0 */
package object2vec;

import com.amazonaws.ml.mms.archive.ModelNotFoundException;
import com.amazonaws.ml.mms.util.messages.InputParameter;
import com.amazonaws.ml.mms.util.messages.RequestInput;
import com.amazonaws.ml.mms.wlm.ModelManager;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.AdaptiveRecvByteBufAllocator;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelOption;
import io.netty.channel.ChannelOutboundBuffer;
import io.netty.channel.socket.DuplexChannel;
import io.netty.handler.codec.http.DefaultFullHttpResponse;
import io.netty.handler.codec.http.FullHttpResponse;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaderValues;
import io.netty.handler.codec.http.HttpResponseStatus;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.HttpVersion;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import object2vec.Pace.State;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One connection: reads its requests, answers them or hands them on, one after the other.
 *
 * <p>All but `finish`, `pace`, `evict` and `callCheck` runs in the connection's event loop.
 */
public final class Guard extends ChannelInboundHandlerAdapter {

    private static final Logger LOG = LoggerFactory.getLogger("object2vec");
    private static final Logger ACCESS_LOG = LoggerFactory.getLogger("ACCESS_LOG");
    private static final int HEAD_BYTES = 16 << 10;
    private static final int LOGGED_SIGNS = 200;
    private static final long LONGEST_LINGER_NANOS = TimeUnit.MINUTES.toNanos(5);

    private final Front front;
    private final Pace pace;
    private ChannelHandlerContext context;

    private ByteBuf rest = Unpooled.EMPTY_BUFFER;
    private LineReader lines;
    private List<String> headLines;
    private Head head;
    private Body body;
    private Invocation invocation;
    private String requestId;
    private long begin;
    private boolean counted;
    /** Bytes thrown away since the answer. */
    private long discarded;
    private long lingerEnd;

    public Guard(Front front) {
        this.front = front;
        pace = new Pace(front);
    }

    @Override
    public void channelActive(ChannelHandlerContext ctx) {
        context = ctx;
        // The server would have answers thrown away that a client has not fetched yet.
        ctx.channel().config().setOption(ChannelOption.SO_LINGER, -1);
        ctx.channel()
                .config()
                .setRecvByteBufAllocator(new AdaptiveRecvByteBufAllocator(1024, 4096, 64 << 10));
        front.opened(this);
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        front.closed(this);
        endRequest();
        rest.release();
        rest = Unpooled.EMPTY_BUFFER;
        pace.enter(State.LINGERING);
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        if (!(cause instanceof java.io.IOException)) {
            LOG.error("A connection failed:", cause);
        }
        ctx.close();
    }

    // --- what comes in

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        ByteBuf in = (ByteBuf) message;
        if (pace.state() == State.LINGERING) {
            discarded += in.readableBytes();
            in.release();
            return;
        }
        pace.move();
        rest = rest.isReadable() ? Unpooled.wrappedBuffer(rest, in) : replaced(in);
        advance();
    }

    private ByteBuf replaced(ByteBuf in) {
        rest.release();
        return in;
    }

    /** Read on, until a request is complete or more has to come. */
    private void advance() {
        try {
            while (rest.isReadable() && read()) {
                continue;
            }
        } catch (Refusal refusal) {
            refuse(refusal, false);
        }
        if (!rest.isReadable()) {
            rest = replaced(Unpooled.EMPTY_BUFFER);
        }
    }

    /** Take one step; false where the step needs more, or another one's answer, first. */
    private boolean read() throws Refusal {
        switch (pace.state()) {
            case IDLE:
                headLines = new ArrayList<>();
                lines =
                        new LineReader(
                                HEAD_BYTES, HttpResponseStatus.REQUEST_HEADER_FIELDS_TOO_LARGE);
                head = null;
                begin = System.currentTimeMillis();
                pace.enter(State.HEAD);
                return true;
            case HEAD:
                String line = lines.read(rest);
                if (line == null) {
                    return false;
                }
                if (!line.isEmpty()) {
                    headLines.add(line);
                } else if (!headLines.isEmpty()) {
                    head = new Head(headLines);
                    route();
                }
                return true;
            case BODY:
                if (!body.take(rest)) {
                    return false;
                }
                invoke(body.content());
                return true;
            default:
                return false;
        }
    }

    private void route() throws Refusal {
        requestId = UUID.randomUUID().toString();
        if (front.isDraining()) {
            throw Refusal.unavailable("The server is stopping; send the request to another one.");
        }
        boolean expected = head.expectsContinue();
        FullHttpResponse answer = front.contract.answer(head);
        if (answer == null) {
            accept(expected);
        } else {
            answer(answer, !head.hasBody());
        }
    }

    /** Check what can be checked before the body, and get ready for that. */
    private void accept(boolean expected) throws Refusal {
        front.contract.checkInvocation(head);
        counted = true;
        front.began();
        if (!head.hasBody()) {
            invoke(new byte[0]);
            return;
        }
        body = new Body(front, this, head.length);
        pace.enter(State.BODY);
        if (expected) {
            context.writeAndFlush(
                    new DefaultFullHttpResponse(
                            HttpVersion.HTTP_1_1,
                            HttpResponseStatus.CONTINUE,
                            Unpooled.EMPTY_BUFFER));
        }
    }

    private void invoke(byte[] content) throws Refusal {
        body = null;
        pace.enter(State.WAITING);
        // Whatever follows waits in the client's own buffers.
        context.channel().config().setAutoRead(false);
        RequestInput input = new RequestInput(requestId);
        for (Map.Entry<String, String> header : head.headers.entrySet()) {
            input.updateHeaders(header.getKey(), header.getValue());
        }
        String type = head.headers.get("content-type");
        CharSequence plainType = type == null ? null : HttpUtil.getMimeType(type);
        input.addParameter(new InputParameter("body", content, plainType));
        invocation = new Invocation(context, input, this, front);
        boolean queued;
        try {
            queued = ModelManager.getInstance().addJob(invocation);
        } catch (ModelNotFoundException error) {
            queued = false;
        }
        if (!queued) {
            throw Refusal.unavailable(
                    "All workers are busy and no more requests can wait; send it again later.");
        }
    }

    // --- what goes out

    /** Answer an invocation, unless it has been answered or its connection has gone. */
    void finish(Invocation done, FullHttpResponse answer) {
        context.executor()
                .execute(
                        () -> {
                            if (done == invocation && pace.state() == State.WAITING) {
                                answer(answer, true);
                            }
                        });
    }

    void finish(Invocation done, Refusal refusal) {
        context.executor()
                .execute(
                        () -> {
                            if (done == invocation && pace.state() == State.WAITING) {
                                refuse(refusal, true);
                            }
                        });
    }

    /** Answer with an error; the connection goes on if all of the request has been read. */
    private void refuse(Refusal refusal, boolean complete) {
        boolean logged = front.refusals.admits();
        if (logged) {
            LOG.warn("{}: {}", refusal.status.code(), refusal.getMessage());
        }
        boolean whole = complete || head != null && !head.hasBody() && pace.state() != State.BODY;
        answer(Answer.error(refusal), whole, logged);
    }

    private void answer(FullHttpResponse answer, boolean complete) {
        answer(answer, complete, true);
    }

    private void answer(FullHttpResponse answer, boolean complete, boolean logged) {
        boolean goesOn = complete && head != null && head.keepsAlive() && !front.isDraining();
        int length = answer.content().readableBytes();
        if (!answer.status().equals(HttpResponseStatus.NO_CONTENT)) {
            answer.headers().set(HttpHeaderNames.CONTENT_LENGTH, length);
        }
        answer.headers().set(HttpHeaderNames.CACHE_CONTROL, "no-cache, no-store");
        if (requestId != null) {
            answer.headers().set("x-request-id", requestId);
        }
        answer.headers()
                .set(
                        HttpHeaderNames.CONNECTION,
                        goesOn ? HttpHeaderValues.KEEP_ALIVE : HttpHeaderValues.CLOSE);
        if (head != null && head.method.equals("HEAD")) {
            answer.content().clear();
        }
        if (logged) {
            log(answer.status());
        }
        forget();
        dropBody();
        pace.enter(State.ANSWERING);
        context.writeAndFlush(answer)
                .addListener(
                        (ChannelFutureListener)
                                written -> {
                                    endRequest();
                                    if (!written.isSuccess()) {
                                        context.close();
                                    } else if (goesOn) {
                                        goOn();
                                    } else {
                                        linger();
                                    }
                                });
    }

    private void log(HttpResponseStatus status) {
        String request = head == null ? "-" : head.method + " " + head.target;
        if (request.length() > LOGGED_SIGNS) {
            request = request.substring(0, LOGGED_SIGNS) + "...";
        }
        ACCESS_LOG.info(
                "{} \"{}{}\" {} {}",
                context.channel().remoteAddress(),
                request,
                head == null ? "" : " " + head.protocol,
                status.code(),
                System.currentTimeMillis() - begin);
    }

    private void goOn() {
        pace.enter(State.IDLE);
        requestId = null;
        head = null;
        context.channel().config().setAutoRead(true);
        // Another event, so that a thousand requests in one packet are no thousand nested calls.
        if (rest.isReadable()) {
            context.executor().execute(this::advance);
        }
    }

    private void linger() {
        pace.enter(State.LINGERING);
        lingerEnd = System.nanoTime() + LONGEST_LINGER_NANOS;
        rest = replaced(Unpooled.EMPTY_BUFFER);
        ((DuplexChannel) context.channel()).shutdownOutput();
        context.channel().config().setAutoRead(true);
    }

    private void dropBody() {
        if (body != null) {
            body.release();
            body = null;
        }
    }

    private void forget() {
        if (invocation != null) {
            invocation.forget();
            invocation = null;
        }
    }

    private void endRequest() {
        forget();
        dropBody();
        if (counted) {
            counted = false;
            front.ended();
        }
    }

    // --- time and room

    /** Asked by those that look for what has taken too long, or has to give way. */
    Pace pace() {
        return pace;
    }

    /** End what has taken too long. */
    void check() {
        if (!pace.isOverdue(System.nanoTime())) {
            return;
        }
        switch (pace.state()) {
            case HEAD:
                refuse(tooSlow("head"), false);
                break;
            case BODY:
                if (!pace.advances(body.received())) {
                    refuse(tooSlow("body"), false);
                }
                break;
            case WAITING:
                if (!invocation.isStarted()) {
                    refuse(
                            Refusal.unavailable(
                                    "No worker was free for this request in "
                                            + front.timeoutSeconds()
                                            + " seconds; send it again later."),
                            true);
                }
                break;
            case ANSWERING:
                checkWriting();
                break;
            case LINGERING:
                checkLingering();
                break;
            default:
                context.close();
        }
    }

    /** A client that still sends has not read its answer yet, and a reset would take it away. */
    private void checkLingering() {
        if (System.nanoTime() > lingerEnd || !pace.advances(discarded)) {
            context.close();
        }
    }

    private void checkWriting() {
        ChannelOutboundBuffer out = context.channel().unsafe().outboundBuffer();
        long left = out == null ? 0 : out.totalPendingWriteBytes() - out.currentProgress();
        if (left == 0 || !pace.changes(left)) {
            LOG.warn("A client did not fetch its answer; the connection is closed.");
            context.close();
        }
    }

    private Refusal tooSlow(String what) {
        return new Refusal(
                HttpResponseStatus.REQUEST_TIMEOUT,
                "The " + what + " of the request came too slowly.");
    }

    /** Close it for others' sake; from any thread. */
    void evict() {
        pace.giveUp();
        context.close();
    }

    /** Have `check` run; from any thread. */
    void callCheck() {
        context.executor().execute(this::check);
    }
}
