/* SPDX-License-Identifier: Apache-2.0 */
package com.amazonaws.ml.mms.wlm;

import com.amazonaws.ml.mms.util.ConfigManager;
import com.amazonaws.ml.mms.util.Connector;
import com.amazonaws.ml.mms.util.codec.ModelRequestEncoder;
import com.amazonaws.ml.mms.util.codec.ModelResponseDecoder;
import com.amazonaws.ml.mms.util.messages.BaseModelRequest;
import com.amazonaws.ml.mms.util.messages.ModelInferenceRequest;
import com.amazonaws.ml.mms.util.messages.ModelLoadModelRequest;
import com.amazonaws.ml.mms.util.messages.ModelWorkerResponse;
import com.amazonaws.ml.mms.util.messages.Predictions;
import io.netty.bootstrap.Bootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.handler.codec.http.HttpResponseStatus;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import object2vec.Invocation;
import object2vec.Workers;

/**
 * A worker process and the connection to it, from its start to its end.
 *
 * <p>All but `disconnect` and `getPid` belong to the thread that has made it. That thread is
 * interrupted when the connection is lost, and no more once the link is closed.
 */
final class WorkerLink implements AutoCloseable {

    private static final ModelRequestEncoder ENCODER =
            new ModelRequestEncoder(ConfigManager.getInstance().getPreferDirectBuffer());
    private static final int OK = HttpResponseStatus.OK.code();
    private static final String PID = "[PID]:";
    private static final String[] STREAMS = {"-stdout", "-stderr"};

    private final Model model;
    private final Channel channel;
    private final BlockingQueue<ModelWorkerResponse> replies = new ArrayBlockingQueue<>(1);
    private final List<RandomAccessFile> pipes = new ArrayList<>();
    private Thread owner = Thread.currentThread();
    private volatile int pid;

    /** Connect, which has the forking process start another worker. */
    WorkerLink(EventLoopGroup group, int port, Model model) {
        this.model = model;
        Connector connector = new Connector(port);
        Bootstrap bootstrap =
                new Bootstrap()
                        .group(group)
                        .channel(connector.getClientChannel())
                        .handler(
                                new ChannelInitializer<Channel>() {
                                    @Override
                                    public void initChannel(Channel channel) {
                                        fill(channel);
                                    }
                                });
        channel =
                bootstrap
                        .connect(connector.getSocketAddress())
                        .syncUninterruptibly()
                        .channel();
        channel.closeFuture().addListener(closed -> lost());
    }

    private void fill(Channel channel) {
        channel.pipeline()
                .addLast(
                        ENCODER,
                        new ModelResponseDecoder(ConfigManager.getInstance().getMaxResponseSize()),
                        new Receiver());
    }

    private final class Receiver extends SimpleChannelInboundHandler<ModelWorkerResponse> {

        @Override
        public void channelRead0(ChannelHandlerContext ctx, ModelWorkerResponse reply) {
            if (!replies.offer(reply)) {
                throw new IllegalStateException("A worker answered what it was not asked.");
            }
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
            // A process that is killed resets its connection.
            if (!(cause instanceof IOException)) {
                WorkerThread.LOG.error("The connection to a worker failed:", cause);
            }
            ctx.close();
        }
    }

    private synchronized void lost() {
        if (owner != null) {
            owner.interrupt();
        }
    }

    /** Close the connection; from any thread. */
    void disconnect() {
        channel.close();
    }

    int getPid() {
        return pid;
    }

    /** Have the process load the model, and its output read. */
    void load(int gpuId, String name)
            throws InterruptedException, IOException, WorkerInitializationException {
        String id = channel.id().asLongText();
        ModelWorkerResponse reply = ask(new ModelLoadModelRequest(model, gpuId, id));
        if (reply.getCode() != OK) {
            throw new WorkerInitializationException(reply.getMessage());
        }
        String message = reply.getMessage();
        pid = Integer.parseInt(message.substring(message.indexOf(PID) + PID.length()).trim());
        List<FileInputStream> streams = new ArrayList<>();
        for (String stream : STREAMS) {
            Path pipe = pipe(stream);
            // Opened for both, so that no side has to wait until the other one has opened it.
            pipes.add(new RandomAccessFile(pipe.toFile(), "rw"));
            streams.add(new FileInputStream(pipe.toFile()));
        }
        new WorkerLifeCycle(ConfigManager.getInstance(), model)
                .attachIOStreams(name, streams.get(0), streams.get(1));
    }

    private Path pipe(String stream) {
        return Paths.get(
                System.getProperty("java.io.tmpdir"), channel.id().asLongText() + stream);
    }

    /** Take the next request from the queue, and have it answered. */
    void answerNext() throws InterruptedException, WorkerInitializationException {
        Map<String, Job> polled = new LinkedHashMap<>();
        try {
            model.pollBatch(channel.id().asLongText(), 0, polled);
        } catch (IllegalMonitorStateException error) {
            // What it makes of an interrupt while another worker has the lock.
            throw new InterruptedException();
        }
        for (Job job : polled.values()) {
            Invocation invocation = (Invocation) job;
            if (invocation.begin()) {
                answer(invocation);
            }
        }
    }

    private void answer(Invocation job) throws InterruptedException, WorkerInitializationException {
        boolean answered = false;
        try {
            ModelInferenceRequest request = new ModelInferenceRequest(model.getModelName());
            request.addRequest(job.getPayload());
            ModelWorkerResponse reply = ask(request);
            List<Predictions> predictions = reply.getPredictions();
            if (reply.getCode() != OK || predictions == null || predictions.size() != 1) {
                answered = true;
                job.sendError(HttpResponseStatus.INTERNAL_SERVER_ERROR, reply.getMessage());
                return;
            }
            Predictions prediction = predictions.get(0);
            if (!job.getJobId().equals(prediction.getRequestId())) {
                throw new IllegalStateException("A worker answered another request.");
            }
            answered = true;
            job.response(
                    prediction.getResp(),
                    prediction.getContentType(),
                    prediction.getStatusCode(),
                    prediction.getReasonPhrase(),
                    prediction.getHeaders());
        } finally {
            if (!answered) {
                job.sendError(HttpResponseStatus.SERVICE_UNAVAILABLE, "Worker died.");
            }
        }
    }

    private ModelWorkerResponse ask(BaseModelRequest request)
            throws InterruptedException, WorkerInitializationException {
        channel.writeAndFlush(request).addListener(ChannelFutureListener.CLOSE_ON_FAILURE);
        int seconds = model.getResponseTimeoutSeconds();
        ModelWorkerResponse reply = replies.poll(seconds, TimeUnit.SECONDS);
        if (reply == null) {
            throw new WorkerInitializationException(
                    "It said nothing for " + seconds + " seconds.");
        }
        return reply;
    }

    /** End the process and what belongs to it. */
    @Override
    public void close() {
        synchronized (this) {
            owner = null;
        }
        // From here on nobody interrupts this thread; what came before has been heeded.
        Thread.interrupted();
        channel.close();
        Workers.end(pid, model.getServerThread().getPid());
        for (RandomAccessFile pipe : pipes) {
            try {
                // The readers see the end of what the process wrote.
                pipe.close();
            } catch (IOException error) {
                WorkerThread.LOG.warn("The output of a worker cannot be closed:", error);
            }
        }
        for (String stream : STREAMS) {
            try {
                Files.deleteIfExists(pipe(stream));
            } catch (IOException error) {
                WorkerThread.LOG.warn("The output of a worker cannot be deleted:", error);
            }
        }
    }
}
