/* SPDX-License-Identifier: Apache-2.0 */
package com.amazonaws.ml.mms;

import com.amazonaws.ml.mms.util.ConnectorType;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import io.netty.handler.codec.http.HttpResponseEncoder;
import io.netty.handler.ssl.SslContext;
import object2vec.Front;
import object2vec.Guard;

/**
 * Stands in front of the server's own class of this name on the class path.
 *
 * <p>Every connection gets our guard instead of the server's HTTP code, so that none of that code,
 * and none of netty's for requests, can be reached. The management address answers nothing.
 */
public class ServerInitializer extends ChannelInitializer<Channel> {

    private final boolean management;

    /** Called by the server for each of its two addresses. */
    public ServerInitializer(SslContext ssl, ConnectorType type) {
        if (ssl != null) {
            throw new IllegalArgumentException("only http addresses are served");
        }
        management = type == ConnectorType.MANAGEMENT_CONNECTOR;
        if (!management) {
            Front.start();
        }
    }

    @Override
    public void initChannel(Channel channel) {
        if (management) {
            channel.close();
            return;
        }
        channel.pipeline().addLast("encoder", new HttpResponseEncoder());
        channel.pipeline().addLast("guard", new Guard(Front.get()));
    }
}
