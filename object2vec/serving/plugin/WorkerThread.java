/* SPDX-License-Identifier: Apache-2.0 */
package com.amazonaws.ml.mms.wlm;

import com.amazonaws.ml.mms.util.ConfigManager;
import io.netty.channel.EventLoopGroup;
import io.netty.handler.codec.http.HttpResponseStatus;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Stands in front of the server's own class of this name: one of the workers, again and again.
 *
 * <p>The server's own waits ever longer, up to 27 minutes, until it starts a worker again that ended
 * while it loaded; it lets what belongs to a lost connection (its end, a late answer) disturb the
 * next one; and it keeps two threads and two files for each worker that ended. Here each process
 * has a `WorkerLink` of its own, and a pause is short.
 */
public class WorkerThread implements Runnable {

    static final Logger LOG = LoggerFactory.getLogger(WorkerThread.class);

    /** Before a process is started: at once for one that had answered, later where many fail. */
    private static final int[] PAUSE_SECONDS = {0, 1, 2, 3, 5};

    private final EventLoopGroup group;
    private final int port;
    private final int gpuId;
    private final Model model;
    private final WorkerStateListener listener;
    private final String name;
    private final boolean serverThread;
    private final WorkerLifeCycle lifeCycle;
    private final long startTime = System.currentTimeMillis();
    private volatile WorkerState state;
    private volatile WorkerLink link;
    private volatile boolean running = true;
    private volatile long memory;

    /** As the server calls it; it hands out the work itself, so that no aggregator is needed. */
    public WorkerThread(
            ConfigManager settings,
            EventLoopGroup group,
            int port,
            int gpuId,
            Model model,
            BatchAggregator aggregator,
            WorkerStateListener listener,
            int number,
            boolean serverThread) {
        this.group = group;
        this.port = port;
        this.gpuId = gpuId;
        this.model = model;
        this.listener = listener;
        this.serverThread = serverThread;
        name = (serverThread ? "server-" : "worker-") + number;
        lifeCycle = new WorkerLifeCycle(settings, model);
    }

    @Override
    public void run() {
        Thread.currentThread().setName(name);
        if (serverThread) {
            runServer();
            return;
        }
        int failures = 0;
        while (running) {
            failures = runWorker() ? 0 : Math.min(failures + 1, PAUSE_SECONDS.length - 1);
            pause(PAUSE_SECONDS[failures]);
        }
    }

    /** Run the process that forks the workers; where it ends, all ends. */
    private void runServer() {
        try {
            model.setPort(port);
            lifeCycle.startBackendServer(port);
            enter(WorkerState.WORKER_MODEL_LOADED, HttpResponseStatus.OK);
            lifeCycle.getProcess().waitFor();
        } catch (WorkerInitializationException | InterruptedException | RuntimeException error) {
            LOG.error("The process that starts the workers cannot go on:", error);
        }
        model.setPort(-1);
        enter(WorkerState.WORKER_STOPPED, HttpResponseStatus.INTERNAL_SERVER_ERROR);
        lifeCycle.exit();
    }

    /** Run one process until it ends; false if it has not loaded the model. */
    private boolean runWorker() {
        boolean loaded = false;
        enter(WorkerState.WORKER_STARTED, HttpResponseStatus.OK);
        try (WorkerLink now = new WorkerLink(group, port, model)) {
            link = now;
            now.load(gpuId, name);
            loaded = true;
            enter(WorkerState.WORKER_MODEL_LOADED, HttpResponseStatus.OK);
            while (running) {
                now.answerNext();
            }
        } catch (InterruptedException error) {
            LOG.warn("A worker ended{}.", loaded ? "" : " while it was loading the model");
        } catch (Exception error) {
            LOG.error("A worker failed:", error);
        }
        enter(WorkerState.WORKER_STOPPED, HttpResponseStatus.INTERNAL_SERVER_ERROR);
        return loaded;
    }

    private void pause(int seconds) {
        try {
            Thread.sleep(1000L * seconds);
        } catch (InterruptedException error) {
            LOG.debug("A pause was cut short.");
        }
    }

    private void enter(WorkerState next, HttpResponseStatus status) {
        if (running) {
            state = next;
        }
        listener.notifyChangeState(model.getModelName(), next, status);
    }

    /** Called by the server. */
    public void shutdown() {
        running = false;
        state = WorkerState.WORKER_SCALED_DOWN;
        WorkerLink now = link;
        if (now != null) {
            now.disconnect();
        }
    }

    // --- what the server asks for

    public WorkerState getState() {
        return state;
    }

    public WorkerLifeCycle getLifeCycle() {
        return lifeCycle;
    }

    public int getPid() {
        WorkerLink now = link;
        return serverThread || now == null ? lifeCycle.getPid() : now.getPid();
    }

    public String getWorkerId() {
        return name;
    }

    public int getGpuId() {
        return gpuId;
    }

    public long getStartTime() {
        return startTime;
    }

    public boolean isRunning() {
        return running;
    }

    public boolean isServerThread() {
        return serverThread;
    }

    public long getMemory() {
        return memory;
    }

    public void setMemory(long memory) {
        this.memory = memory;
    }
}
